package edge.core.client

import edge.core.policy.Consent
import edge.core.policy.Side
import java.io.File
import java.nio.file.Files
import java.security.KeyStore
import java.util.concurrent.TimeUnit
import javax.net.ssl.KeyManagerFactory
import javax.net.ssl.SSLContext
import org.junit.AfterClass
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

private const val PASSWORD = "of a test"

/** A certificate is checked against the authorities and the host's name before anything is sent. */
class TlsTest {
    companion object {
        private val folder: File = Files.createTempDirectory("tls").toFile()

        @AfterClass
        @JvmStatic
        fun clear() {
            folder.deleteRecursively()
        }
    }

    /** Return a server's context and its certificate as PEM; `name` is a subject's alternative name. */
    private fun certificate(name: String): Pair<SSLContext, String> {
        val store = File(folder, "${name.replace(':', '-')}.p12")
        val common = listOf("-keystore", store.path, "-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", "one")
        keytool(listOf("-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=test", "-ext", "san=$name") + common)
        val pem = keytool(listOf("-exportcert", "-rfc") + common)
        val keys = KeyStore.getInstance("PKCS12").apply { store.inputStream().use { load(it, PASSWORD.toCharArray()) } }
        val factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm())
        factory.init(keys, PASSWORD.toCharArray())
        return SSLContext.getInstance("TLS").apply { init(factory.keyManagers, null, null) } to pem
    }

    private fun keytool(words: List<String>): String {
        val tool = File(System.getProperty("java.home"), "bin/keytool").path
        val process = ProcessBuilder(listOf(tool) + words).redirectErrorStream(true).start()
        val said = process.inputStream.readBytes().decodeToString()
        assertTrue(said, process.waitFor(60, TimeUnit.SECONDS) && process.exitValue() == 0)
        return said
    }

    private fun asking(url: String, authorities: String?): FallbackRunner {
        val endpoint = Endpoint(url, "doubling", token = "t", authorities = authorities)
        return FallbackRunner(null, endpoint, ONLY_SERVER, DOUBLING, network = { WIFI }).apply { consent = Consent.GRANTED }
    }

    @Test
    fun anOwnAuthorityIsTrustedAndNoOther() {
        val (context, pem) = certificate("ip:127.0.0.1")
        val (_, other) = certificate("dns:other")
        OipServer(context).use { server ->
            asking(server.url, pem).use { runner ->
                val answer = runner.call(input())
                assertEquals(Side.SERVER, answer.ranOn)
                assertTrue(runner.call(input()).attempts.single().spans.connectMs == null) // the connection is kept
            }
            for (authorities in listOf(null, other)) {
                asking(server.url, authorities).use { runner ->
                    val failure = assertThrows(CallFailed::class.java) { runner.call(input()) }
                    assertTrue("${failure.cause}", failure.cause is Unreachable)
                    assertTrue(failure.attempts.none { it.sent })
                }
            }
            assertEquals(2, server.seen.size)
        }
    }

    @Test
    fun anotherHostsCertificateIsRefused() {
        val (context, pem) = certificate("dns:models.example.org")
        OipServer(context).use { server ->
            asking(server.url, pem).use { runner ->
                val failure = assertThrows(CallFailed::class.java) { runner.call(input()) }
                assertTrue("${failure.cause}", failure.cause is Unreachable)
            }
            assertEquals(0, server.questions.get())
        }
    }

    @Test
    fun aServerWithoutTlsIsUnreachable() = OipServer().use { server ->
        asking("https://127.0.0.1:${server.port}", null).use { runner ->
            val failure = assertThrows(CallFailed::class.java) { runner.call(input(), deadlineMs = 3000.0) }
            assertTrue("${failure.cause}", failure.cause is Unreachable)
        }
    }

    @Test
    fun textWithoutACertificateIsRefused() {
        for (bad in listOf("", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")) {
            assertThrows(bad, IllegalArgumentException::class.java) { asking("https://host", bad) }
        }
    }
}
