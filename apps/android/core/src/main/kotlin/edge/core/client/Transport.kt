package edge.core.client

import edge.core.oip.Limits
import edge.core.oip.Message
import edge.core.oip.printable
import java.io.IOException
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.UnknownHostException

private const val KEPT = 2 // idle connections
private const val KEEP_MS = 30_000.0 // servers close idle connections too, and a request may meet that moment

/**
 * One HTTP request over a kept connection: bounded, verified, never redirected, closed at once when it is aborted.
 *
 * It speaks over plain sockets, as HttpURLConnection repeats requests by itself, follows redirects, and cannot be
 * closed while it connects. Thread-safe; nothing is opened before the first request.
 */
internal class Transport(private val endpoint: Endpoint, private val limits: Limits = Limits()) {
    private val tls = if (endpoint.secure) tlsFactory(endpoint.authorities) else null
    private val lookup = Lookup()
    private val idle = ArrayDeque<Connection>()
    private var generation = 0 // of connections: those of an earlier one are not kept

    /** Ask about the model; raises Unreachable, Cut, AnswerError or Aborted. */
    fun get(wire: Wire, abort: Abort, connectMs: Double): Reply =
        request("GET", "", null, wire, abort, connectMs)

    /** Send an inference request; raises Unreachable, Cut, AnswerError or Aborted. */
    fun infer(message: Message, wire: Wire, abort: Abort, connectMs: Double): Reply =
        request("POST", "/infer", message, wire, abort, connectMs)

    /** Close every connection that no request uses, and keep none of the others; a later request opens another. */
    fun disconnect() {
        val open = synchronized(idle) {
            generation++
            idle.toList().also { idle.clear() }
        }
        for (connection in open) connection.close()
    }

    /** Disconnect for good. */
    fun close() {
        disconnect()
        lookup.close()
    }

    private fun request(
        method: String, tail: String, message: Message?, wire: Wire, abort: Abort, connectMs: Double,
    ): Reply {
        abort.check()
        val began = synchronized(idle) { generation }
        val connection = takeIdle(abort) ?: connected(wire, abort, connectMs)
        var keep = false
        try {
            val reply = exchange(connection, head(method, tail, message), message, wire)
            keep = reply.keep
            return reply
        } catch (error: IOException) {
            abort.check()
            throw ended(error, wire)
        } finally {
            wire.ended = nowMs()
            abort.release(connection)
            if (!keep || abort.isAborted || !keep(connection, began)) connection.close()
        }
    }

    private fun exchange(connection: Connection, head: String, message: Message?, wire: Wire): Reply {
        wire.sending = nowMs()
        val unsent = try {
            connection.output.write(head.toByteArray(Charsets.ISO_8859_1))
            message?.let { connection.output.write(it.body) }
            connection.output.flush()
            null
        } catch (error: IOException) {
            error // a server may refuse a request before it has read all of it
        }
        wire.sent = nowMs()
        val reader = AnswerReader(connection.input, limits.bodyBytes)
        val found = try {
            reader.head()
        } catch (error: IOException) {
            throw unsent ?: error
        }
        wire.head = nowMs()
        return Reply(found.status, found.headers, reader.body(found), found.keep && unsent == null)
    }

    private fun head(method: String, tail: String, message: Message?): String = buildString {
        append("$method ${endpoint.path}$tail HTTP/1.1\r\nHost: ${endpoint.authority}\r\n")
        append("Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: edge-deployment-kit\r\n")
        if (endpoint.token.isNotEmpty()) append("Authorization: Bearer ${endpoint.token}\r\n")
        message?.headers?.forEach { (name, value) -> append("$name: $value\r\n") }
        message?.let { append("Content-Length: ${it.body.size}\r\n") }
        append("\r\n")
    }

    /** Return a kept connection that is still alive, watched by `abort`. */
    private fun takeIdle(abort: Abort): Connection? {
        while (true) {
            val found = synchronized(idle) { idle.removeLastOrNull() } ?: return null
            abort.watch(found)
            if (nowMs() - found.idleSinceMs < KEEP_MS && found.isAlive()) return found
            abort.release(found)
            found.close()
        }
    }

    private fun keep(connection: Connection, began: Int): Boolean {
        connection.idleSinceMs = nowMs()
        return synchronized(idle) {
            (began == generation && idle.size < KEPT).also { if (it) idle.addLast(connection) }
        }
    }

    /** Return a new connection, watched by `abort`; raises Unreachable or Aborted. */
    private fun connected(wire: Wire, abort: Abort, limitMs: Double): Connection {
        val began = nowMs()
        wire.connecting = began
        var last: IOException = UnknownHostException("no address")
        try {
            for (address in lookup.addresses(endpoint.host, abort, limitMs).filter(::isAllowed)) {
                val leftMs = limitMs - (nowMs() - began)
                if (leftMs <= 0) break
                try {
                    return connected(address, wire, abort, leftMs)
                } catch (error: IOException) {
                    last = error
                }
            }
        } catch (error: UnknownHostException) {
            last = error
        }
        abort.check()
        val why = printable(last.message ?: last.javaClass.simpleName)
        throw Unreachable("${endpoint.url} cannot be reached: $why; is the server up and the address right?")
    }

    /** What travels unencrypted leaves this machine only where the app said so, whatever a name stands for. */
    private fun isAllowed(address: InetAddress): Boolean =
        endpoint.secure || endpoint.plainHttp || address.isLoopbackAddress

    private fun connected(address: InetAddress, wire: Wire, abort: Abort, limitMs: Double): Connection {
        val connection = Connection()
        abort.watch(connection)
        try {
            val began = nowMs()
            wire.tcpBegan = began
            connection.connect(InetSocketAddress(address, endpoint.port), limitMs)
            wire.tcp = nowMs()
            val leftMs = limitMs - (nowMs() - began)
            if (tls != null) connection.secure(tls, endpoint.host, endpoint.port, leftMs)
            connection.open()
            wire.connected = nowMs()
            return connection
        } catch (error: IOException) {
            abort.release(connection)
            connection.close()
            throw error
        }
    }

    private fun ended(error: IOException, wire: Wire): Exception {
        val why = printable(error.message ?: error.javaClass.simpleName)
        if (!wire.fresh && wire.head == null) return Unreachable("${endpoint.url} had closed the connection: $why")
        return Cut("the connection to ${endpoint.url} ended before the answer did: $why")
    }
}
