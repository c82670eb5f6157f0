package edge.core.app

import edge.core.client.Engine
import edge.core.client.OnDevice
import edge.core.client.Policy
import edge.core.client.Unavailable
import edge.core.client.takesPicture
import edge.core.manifest.Contract
import edge.core.manifest.Layout
import edge.core.manifest.TensorSpec
import edge.core.policy.Consent
import edge.core.policy.Mode
import edge.core.policy.Network
import edge.core.policy.Side
import java.net.ServerSocket
import java.net.SocketException
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicReference
import kotlin.concurrent.thread
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Test

class CallersTest {
    private val contract = Contract(
        listOf(TensorSpec("x", listOf(1, 2))),
        listOf(TensorSpec("y", listOf(1, 2))),
    )
    private val twice = Engine { inputs -> mapOf("y" to FloatArray(2) { 2 * inputs.getValue("x")[it] }) }
    private val online = { Network(online = true, metered = false) }

    private fun local() = OnDevice(contract, "tiny", "0".repeat(64), open = { twice })

    @Test
    fun aCallerRunsTheDevicesModelAndSaysSo() {
        val callers = Callers()
        callers.open(local(), null, Policy(), network = online).use { caller ->
            assertNull(caller.ranOn)
            assertContentEquals(floatArrayOf(2f, 4f), caller.run(mapOf("x" to floatArrayOf(1f, 2f)))["y"])
            assertEquals(Side.DEVICE, caller.ranOn)
        }
    }

    @Test
    fun withoutConsentNoConnectionIsMade() {
        ServerSocket(0).use { server ->
            server.soTimeout = 300
            val endpoint = Settings(server = "http://127.0.0.1:${server.localPort}").endpoint("tiny")
            val callers = Callers()
            callers.open(null, endpoint, Policy(mode = Mode.ONLY_SERVER), contract, network = online).use { caller ->
                val error = runCatching { caller.run(mapOf("x" to floatArrayOf(1f, 2f))) }.exceptionOrNull()
                assertTrue(error is Unavailable, "$error")
                assertEquals(ScreenState.NoConsent(takenBack = false), stateOf(error))
            }
            assertTrue(runCatching { server.accept() }.exceptionOrNull() is java.net.SocketTimeoutException)
        }
    }

    /** The server takes the request and never answers; taking consent back cuts it off at once. */
    @Test
    fun consentTakenBackInTheMiddleOfARequestCutsItOff() {
        ServerSocket(0).use { server ->
            val taken = CountDownLatch(1)
            val cut = CountDownLatch(1)
            thread(isDaemon = true) {
                server.accept().use { socket ->
                    val stream = socket.getInputStream()
                    stream.read()
                    taken.countDown()
                    try {
                        do { val byte = stream.read() } while (byte >= 0)
                    } catch (_: SocketException) {
                        // reset is an end too
                    }
                    cut.countDown()
                }
            }
            val callers = Callers()
            callers.consent = Consent.GRANTED
            val endpoint = Settings(server = "http://127.0.0.1:${server.localPort}").endpoint("tiny")
            val caller = callers.open(null, endpoint, Policy(mode = Mode.ONLY_SERVER), contract, network = online)
            val error = AtomicReference<Throwable>()
            val calling = thread {
                error.set(runCatching { caller.run(mapOf("x" to floatArrayOf(1f, 2f))) }.exceptionOrNull())
            }
            assertTrue(taken.await(30, TimeUnit.SECONDS), "no request came")
            callers.consent = Consent.DENIED
            assertTrue(cut.await(10, TimeUnit.SECONDS), "the connection is still open")
            calling.join(5_000)
            val found = checkNotNull(error.get()) { "the call did not end" }
            assertEquals(ScreenState.NoConsent(takenBack = true), stateOf(found, consentWasGiven = true))
            caller.close()
        }
    }

    @Test
    fun aManifestsContractSaysWhetherItTakesAPicture() {
        val image = Contract(listOf(TensorSpec("image", listOf(1, 4, 4, 3), layout = Layout.NHWC)))
        assertTrue(image.takesPicture)
        assertNull(Settings().endpoint("tiny"))
        assertEquals(
            "https://models.example.org/v2/models/tiny",
            Settings(server = "https://models.example.org", token = "abc").endpoint("tiny")?.address,
        )
    }
}
