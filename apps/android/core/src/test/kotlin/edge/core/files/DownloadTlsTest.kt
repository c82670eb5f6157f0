package edge.core.files

import com.sun.net.httpserver.HttpsConfigurator
import com.sun.net.httpserver.HttpsServer
import edge.core.manifest.FileEntry
import java.io.File
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.URI
import java.security.KeyStore
import java.util.concurrent.atomic.AtomicInteger
import javax.net.ssl.KeyManagerFactory
import javax.net.ssl.SSLContext
import kotlin.test.assertEquals
import kotlin.test.assertIs
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class DownloadTlsTest {
    @get:Rule
    val folder = TemporaryFolder()

    @Test
    fun aServerWhoseCertificateNobodyVouchesForIsAskedForNothing() {
        val asked = AtomicInteger()
        val server = HttpsServer.create(InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0)
        server.httpsConfigurator = HttpsConfigurator(selfSigned())
        server.createContext("/") { exchange ->
            asked.incrementAndGet()
            exchange.sendHead(404, 0)
            exchange.close()
        }
        server.start()
        try {
            val entry = FileEntry("m", 5, sha256(ByteArray(5)))
            val from = URI("https://127.0.0.1:${server.address.port}/m")
            val end = Downloader(pauseMs = { 0 }).download(from, entry, File(folder.root, "m"))
            assertEquals(Failure.UNTRUSTED, assertIs<Download.Failed>(end).failure, end.message)
            assertEquals(0, asked.get())
        } finally {
            server.stop(0)
        }
    }

    /** A certificate made for this test by the JDK's keytool. */
    private fun selfSigned(): SSLContext {
        val store = File(folder.root, "keys.p12")
        val words = listOf(
            "${System.getProperty("java.home")}/bin/keytool", "-genkeypair", "-keyalg", "EC", "-alias", "test",
            "-dname", "CN=127.0.0.1", "-validity", "1", "-storepass", WORD, "-keystore", store.path,
        )
        val made = ProcessBuilder(words).redirectErrorStream(true).start()
        val said = made.inputStream.bufferedReader().readText()
        assertEquals(0, made.waitFor(), said)
        val keys = KeyStore.getInstance(store, WORD.toCharArray())
        store.delete()
        val managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm())
        managers.init(keys, WORD.toCharArray())
        return SSLContext.getInstance("TLS").apply { init(managers.keyManagers, null, null) }
    }
}

private const val WORD = "for-this-test"
