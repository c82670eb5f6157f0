package edge.core.client

import edge.core.policy.Consent
import edge.core.policy.DataClass
import edge.core.policy.Device
import edge.core.policy.Mode
import edge.core.policy.Network
import edge.core.policy.Reason
import edge.core.policy.Side
import edge.core.policy.Thermal
import java.util.Random
import java.util.concurrent.atomic.AtomicBoolean
import kotlin.concurrent.thread
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Nothing leaves without consent: a listener counts connections and bytes, whatever else is true. */
class PrivacyTest {
    private val random = Random(11)

    private fun <T> any(of: List<T>): T = of[random.nextInt(of.size)]

    @Test
    fun notOneByteWithoutConsent() {
        var allowedCases = 0
        repeat(300) {
            RawServer { socket -> socket.getInputStream().read() }.use { listener ->
                val policy = Policy(any(Mode.entries), any(DataClass.entries), upload = any(Upload.entries))
                val consent = any(Consent.entries)
                val network = Network(random.nextBoolean(), any(listOf(true, false, null)))
                val allowed = consent == Consent.GRANTED && policy.dataClass == DataClass.MAY_UPLOAD &&
                    policy.mode != Mode.ONLY_ON_DEVICE && network.online
                if (allowed) allowedCases++
                val device = when (random.nextInt(4)) {
                    0 -> onDevice(present = false)
                    1 -> onDevice { error("broken") }
                    else -> onDevice()
                }
                val runner = FallbackRunner(
                    device, Endpoint(listener.url, "doubling"), policy,
                    device = { Device(thermal = any(Thermal.entries)) }, network = { network },
                )
                runner.use {
                    if (random.nextBoolean() && consent != Consent.GRANTED) {
                        it.consent = Consent.GRANTED // given and taken back before the first call
                    }
                    it.consent = consent
                    repeat(2) { _ ->
                        try {
                            it.call(input(), deadlineMs = any(listOf(null, 2.0, 100.0)))
                        } catch (_: Unavailable) {
                        } catch (_: CallFailed) {
                        } catch (_: DeadlineMissed) {
                        }
                    }
                }
                if (!allowed) assertEquals("$policy $consent $network", 0, listener.connections.get())
            }
        }
        assertTrue("$allowedCases", allowedCases > 5)
    }

    @Test
    fun withoutConsentNoPictureIsEncoded() = OipServer().use { server ->
        var encoded = false
        val picture = PictureFile(10, 10) {
            encoded = true
            ByteArray(10)
        }
        FallbackRunner(onDevice(), Endpoint(server.url, "doubling"), EAGER, network = { WIFI }).use { runner ->
            val given = Input(tensors = { mapOf("x" to X) }, picture = picture) { outputs, _ -> outputs }
            assertEquals(Reason.CONSENT_UNSET, runner.call(given).reason)
            assertEquals(false, encoded)
        }
    }

    @Test
    fun consentThatIsTakenBackEndsWhatIsOnItsWay() {
        val silent = faulty(::drain)
        silent.use {
            granted(silent.url).use { runner ->
                val withdrawal = thread {
                    eventually { silent.received.get() > 500 }
                    Thread.sleep(50)
                    runner.consent = Consent.DENIED
                }
                val answer = runner.call(input())
                withdrawal.join()
                assertEquals(Side.DEVICE, answer.ranOn)
                assertEquals(Outcome.CANCELLED, answer.attempts.first { it.side == Side.SERVER }.outcome)
                eventually { silent.open.get() == 0 }
                val connections = silent.connections.get()
                assertEquals(Reason.CONSENT_DENIED, runner.call(input()).decision.serverBlocked)
                assertEquals(connections, silent.connections.get())
            }
        }
    }

    @Test
    fun callersThatNeverRestSendNothingWhileConsentIsTakenBack() = OipServer().use { server ->
        granted(server.url).use { runner ->
            val stop = AtomicBoolean()
            val callers = List(4) {
                thread {
                    while (!stop.get()) runner.call(input()) // the device always answers
                }
            }
            repeat(8) {
                val before = server.seen.size
                eventually { server.seen.size > before }
                runner.consent = Consent.DENIED
                settled(server) // what had arrived is still being read
                val seen = server.seen.size
                Thread.sleep(40)
                assertEquals(seen, server.seen.size)
                runner.consent = Consent.GRANTED
            }
            stop.set(true)
            callers.forEach { it.join() }
        }
    }

    private fun settled(server: OipServer) {
        var seen = -1
        eventually {
            val before = seen
            seen = server.seen.size
            Thread.sleep(60)
            seen == before
        }
    }

    @Test
    fun aProviderThatRaisesMeansNoNetwork() {
        RawServer().use { listener ->
            val runner = FallbackRunner(
                onDevice(), Endpoint(listener.url, "doubling"), EAGER, network = { error("no such sensor") },
            )
            runner.use {
                it.consent = Consent.GRANTED
                assertEquals(Reason.OFFLINE, it.call(input()).reason)
            }
            assertEquals(0, listener.connections.get())
        }
    }

    @Test
    fun aBodyAboveTheMeteredCapIsNotSent() = OipServer().use { server ->
        val policy = EAGER.copy(meteredCapBytes = 300)
        val runner = FallbackRunner(
            onDevice(), Endpoint(server.url, "doubling"), policy, network = { Network(online = true) },
        )
        runner.use {
            it.consent = Consent.GRANTED
            assertEquals(Reason.OVER_METERED_CAP, it.call(input()).reason)
        }
        assertEquals(0, server.questions.get())
    }
}
