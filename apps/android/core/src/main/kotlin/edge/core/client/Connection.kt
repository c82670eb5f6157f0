package edge.core.client

import java.io.BufferedInputStream
import java.io.BufferedOutputStream
import java.io.Closeable
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.net.InetSocketAddress
import java.net.Proxy
import java.net.Socket
import java.net.SocketTimeoutException
import javax.net.ssl.SSLSocket
import javax.net.ssl.SSLSocketFactory

private const val BUFFER_BYTES = 1 shl 14
private val PROTOCOLS = listOf("TLSv1.3", "TLSv1.2")

/**
 * One connection to a server, plain or with TLS. `close` comes from any thread and takes no time: bytes that the system
 * has not sent yet are dropped, so that nothing more leaves.
 */
internal class Connection : Closeable {
    private val plain = Socket(Proxy.NO_PROXY)
    private var stream: Socket = plain
    lateinit var input: InputStream
        private set
    lateinit var output: OutputStream
        private set
    var idleSinceMs = 0.0

    /** Connect with TCP within `limitMs`. */
    fun connect(address: InetSocketAddress, limitMs: Double) {
        plain.tcpNoDelay = true
        plain.connect(address, millis(limitMs))
    }

    /** Begin TLS within `limitMs`, the certificate being checked against authorities and the host's name. */
    fun secure(factory: SSLSocketFactory, host: String, port: Int, limitMs: Double) {
        val tls = factory.createSocket(plain, host, port, true) as SSLSocket
        tls.enabledProtocols = tls.supportedProtocols.filter { it in PROTOCOLS }.toTypedArray()
        tls.sslParameters = tls.sslParameters.apply { endpointIdentificationAlgorithm = "HTTPS" }
        plain.soTimeout = millis(limitMs)
        tls.startHandshake()
        plain.soTimeout = 0
        stream = tls
    }

    /** Make the streams, once connected. */
    fun open() {
        input = BufferedInputStream(stream.getInputStream(), BUFFER_BYTES)
        output = BufferedOutputStream(stream.getOutputStream(), BUFFER_BYTES)
    }

    /** Say whether an idle connection can still be used: the other side has neither closed it nor said anything. */
    fun isAlive(): Boolean = try {
        stream.soTimeout = 1
        input.read() // its end, or bytes that nobody asked for
        false
    } catch (_: SocketTimeoutException) {
        stream.soTimeout = 0
        true
    } catch (_: IOException) {
        false
    }

    override fun close() {
        try {
            plain.setSoLinger(true, 0)
        } catch (_: IOException) {
            // not connected yet, or closed already
        }
        try {
            plain.close()
        } catch (_: IOException) {
            // there is nothing left to do for it
        }
    }

    private fun millis(ms: Double): Int = ms.toInt().coerceAtLeast(1)
}
