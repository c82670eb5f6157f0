package edge.core.files

import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import java.io.Closeable
import java.io.IOException
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.URI
import java.util.Collections
import java.util.concurrent.Executors

internal const val ETAG = "\"v1\""

/** A request as the server saw it. */
internal class Asked(val path: String, val range: String?, val ifRange: String?)

/** A server on this machine that does what a test says; every fault is one of a real server's. */
internal class FileServer(var answer: (HttpExchange, Asked) -> Unit) : Closeable {
    val asked: MutableList<Asked> = Collections.synchronizedList(mutableListOf())

    private val workers = Executors.newCachedThreadPool()
    private val server = HttpServer.create(InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0)

    val root: URI get() = URI("http://127.0.0.1:${server.address.port}")
    val file: URI get() = root.resolve("/model.bin")

    init {
        server.executor = workers
        server.createContext("/") { exchange ->
            val headers = exchange.requestHeaders
            val request = Asked(exchange.requestURI.path, headers.getFirst("Range"), headers.getFirst("If-Range"))
            asked += request
            try {
                answer(exchange, request)
            } catch (_: IOException) {
                // The client went away, or the body was cut on purpose.
            } finally {
                exchange.close()
            }
        }
        server.start()
    }

    override fun close() {
        server.stop(0)
        workers.shutdownNow()
    }
}

/** Send a file as a good server does, or only its first `cut` bytes of this answer. */
internal fun HttpExchange.send(data: ByteArray, asked: Asked, etag: String? = ETAG, cut: Int = Int.MAX_VALUE) {
    if (etag != null) responseHeaders.set("ETag", etag)
    val from = asked.range?.takeIf { etag != null && asked.ifRange == etag }?.removeSurrounding("bytes=", "-")?.toInt()
    if (from == null) {
        sendHead(200, data.size)
        write(data, 0, cut)
    } else {
        responseHeaders.set("Content-Range", "bytes $from-${data.size - 1}/${data.size}")
        sendHead(206, data.size - from)
        write(data, from, cut)
    }
}

/** Send the head of an answer; a body of 0 bytes has to be said with -1. */
internal fun HttpExchange.sendHead(status: Int, bytes: Int) =
    sendResponseHeaders(status, if (bytes == 0) -1L else bytes.toLong())

internal fun HttpExchange.write(data: ByteArray, from: Int, most: Int) {
    val count = minOf(most, data.size - from)
    if (count > 0) responseBody.write(data, from, count)
    responseBody.flush()
}
