package edge.core.client

import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import com.sun.net.httpserver.HttpsConfigurator
import com.sun.net.httpserver.HttpsServer
import edge.core.json.Json
import edge.core.json.JsonReader
import edge.core.json.jsonOf
import edge.core.json.parseJson
import edge.core.json.required
import edge.core.json.write
import edge.core.manifest.Contract
import edge.core.manifest.TensorSpec
import edge.core.oip.HEADER
import java.io.Closeable
import java.io.IOException
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.ServerSocket
import java.net.Socket
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicInteger
import javax.net.ssl.SSLContext

/** The model of these tests: it doubles four numbers. */
internal val DOUBLING = Contract(
    inputs = listOf(TensorSpec("x", listOf(1, 4))),
    outputs = listOf(TensorSpec("y", listOf(1, 4))),
)

internal val X = floatArrayOf(1f, -2f, 0.5f, 3f)
internal val TWICE = floatArrayOf(2f, -4f, 1f, 6f)

internal fun doubling(inputs: Map<String, FloatArray>): Map<String, FloatArray> =
    mapOf("y" to FloatArray(4) { 2 * inputs.getValue("x")[it] })

/** An engine that stands for a runtime, which a machine without a phone does not have; it computes the model itself. */
internal fun onDevice(present: Boolean = true, engine: Engine = Engine(::doubling)) =
    OnDevice(DOUBLING, "doubling", "ab".repeat(32), isPresent = { present }) { engine }

internal val METADATA: Json = jsonOf(
    mapOf(
        "name" to "doubling", "versions" to listOf("3"), "platform" to "",
        "inputs" to listOf(mapOf("name" to "x", "datatype" to "FP32", "shape" to listOf(-1, 4))),
        "outputs" to listOf(mapOf("name" to "y", "datatype" to "FP32", "shape" to listOf(-1, 4))),
    ),
)

/** Return an answer of the model as its head's length and its body. */
internal fun answered(values: FloatArray, parameters: Map<String, Any> = emptyMap()): Pair<Int, ByteArray> {
    val output = mapOf(
        "name" to "y", "shape" to listOf(1, 4), "datatype" to "FP32", "parameters" to mapOf("binary_data_size" to 16),
    )
    val head = mapOf(
        "model_name" to "doubling", "model_version" to "3", "parameters" to parameters, "outputs" to listOf(output),
    )
    val text = jsonOf(head).write().toByteArray()
    val raw = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).also { it.asFloatBuffer().put(values) }
    return text.size to text + raw.array()
}

/** A request as the server saw it. */
internal class Seen(val timeoutUs: Long, val authorization: String?, val values: FloatArray)

/** A small real server: the JDK's, on loopback, which speaks the protocol and behaves as the test says. */
internal class OipServer(ssl: SSLContext? = null) : Closeable {
    @Volatile var delayMs = 0L

    @Volatile var status = 200

    @Volatile var headers: Map<String, String> = emptyMap()

    @Volatile var metadata = METADATA
    val seen = CopyOnWriteArrayList<Seen>()
    val questions = AtomicInteger()
    private val threads = Executors.newCachedThreadPool { Thread(it, "test-server").apply { isDaemon = true } }
    private val server = open(ssl)
    val url = "${if (ssl == null) "http" else "https"}://127.0.0.1:${server.address.port}"
    val port: Int get() = server.address.port

    private fun open(ssl: SSLContext?): HttpServer {
        val address = InetSocketAddress(InetAddress.getLoopbackAddress(), 0)
        val found = if (ssl == null) HttpServer.create(address, 50) else HttpsServer.create(address, 50)
        (found as? HttpsServer)?.httpsConfigurator = HttpsConfigurator(ssl)
        found.executor = threads
        found.createContext("/v2/models/doubling") { it.use(::answer) }
        found.start()
        return found
    }

    private fun answer(exchange: HttpExchange) {
        if (exchange.requestMethod == "GET") {
            questions.incrementAndGet()
            respond(exchange, 200, metadata.write().toByteArray())
            return
        }
        val body = exchange.requestBody.readBytes()
        val jsonBytes = exchange.requestHeaders.getFirst(HEADER).toInt()
        val head = JsonReader(parseJson(String(body, 0, jsonBytes))).members()
        val values = FloatArray(4)
        ByteBuffer.wrap(body, body.size - 16, 16).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values)
        val timeout = head.required("parameters").members().required("timeout").long()
        seen.add(Seen(timeout, exchange.requestHeaders.getFirst("Authorization"), values))
        Thread.sleep(delayMs)
        for ((name, value) in headers) exchange.responseHeaders.add(name, value)
        if (status != 200) {
            respond(exchange, status, """{"error":"as the test says"}""".toByteArray())
            return
        }
        val said = mapOf("weights_sha256" to "cd".repeat(32), "total_ms" to 0.5, "queue_ms" to 0.25)
        val (size, found) = answered(FloatArray(4) { 2 * values[it] }, said)
        exchange.responseHeaders.add(HEADER, "$size")
        respond(exchange, 200, found)
    }

    private fun respond(exchange: HttpExchange, status: Int, body: ByteArray) {
        exchange.sendResponseHeaders(status, if (body.isEmpty()) -1 else body.size.toLong())
        exchange.responseBody.write(body)
    }

    override fun close() {
        server.stop(0)
        threads.shutdownNow()
    }
}

/** A listener on loopback that counts connections and bytes and does with each connection what the test says. */
internal class RawServer(private val serve: (Socket) -> Unit = {}) : Closeable {
    val connections = AtomicInteger()
    val received = AtomicInteger()
    val open = AtomicInteger()
    private val listener = ServerSocket(0, 50, InetAddress.getLoopbackAddress())
    private val threads = Executors.newCachedThreadPool { Thread(it, "test-raw").apply { isDaemon = true } }
    private val sockets = CopyOnWriteArrayList<Socket>()
    val url = "http://127.0.0.1:${listener.localPort}"

    init {
        threads.execute {
            try {
                while (true) accept(listener.accept())
            } catch (_: IOException) {
                // closed
            }
        }
    }

    private fun accept(socket: Socket) {
        connections.incrementAndGet()
        open.incrementAndGet()
        sockets.add(socket)
        threads.execute {
            try {
                socket.use(serve)
            } catch (_: IOException) {
                // the client has gone
            } finally {
                open.decrementAndGet()
            }
        }
    }

    /** Read one request, and say whether it is the inference; null at the connection's end. */
    fun request(socket: Socket): Boolean? {
        val head = StringBuilder()
        while (!head.endsWith("\r\n\r\n")) {
            val byte = socket.getInputStream().read()
            if (byte < 0) return null
            received.incrementAndGet()
            head.append(byte.toChar())
        }
        val length = Regex("Content-Length: ([0-9]+)").find(head)?.groupValues?.get(1)?.toInt() ?: 0
        repeat(length) {
            if (socket.getInputStream().read() < 0) return null
            received.incrementAndGet()
        }
        return head.startsWith("POST")
    }

    override fun close() {
        listener.close()
        for (socket in sockets) socket.close()
        threads.shutdownNow()
    }
}

/** A server that tells of its model and answers inferences with `canned`, raw, then closes the connection. */
internal fun faulty(canned: (Socket) -> Unit): RawServer {
    lateinit var server: RawServer
    server = RawServer { socket ->
        while (true) {
            if (server.request(socket) ?: break) {
                canned(socket)
                break
            }
            val body = METADATA.write()
            val whole = "HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n$body"
            socket.getOutputStream().write(whole.toByteArray())
        }
    }
    return server
}

/** Take everything and answer nothing. */
internal fun drain(socket: Socket) {
    do {
        val byte = socket.getInputStream().read()
    } while (byte >= 0)
}
