package edge.core.client

import edge.core.json.parseJson
import edge.core.json.write
import edge.core.oip.AnswerError
import edge.core.oip.Busy
import edge.core.oip.HEADER
import edge.core.oip.Unauthenticated
import edge.core.policy.Consent
import edge.core.policy.DataClass
import edge.core.policy.Mode
import edge.core.policy.Network
import edge.core.policy.Reason
import edge.core.policy.Side
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

internal val EAGER = Policy(mode = Mode.PREFER_SERVER, dataClass = DataClass.MAY_UPLOAD)
internal val ONLY_SERVER = EAGER.copy(mode = Mode.ONLY_SERVER)
internal val WIFI = Network(online = true, metered = false)

internal fun granted(
    url: String, device: OnDevice? = onDevice(), policy: Policy = EAGER, token: String = "", clock: Clock = ::nowMs,
): FallbackRunner {
    val endpoint = Endpoint(url, "doubling", token = token)
    val runner = FallbackRunner(device, endpoint, policy, DOUBLING, network = { WIFI }, clock = clock)
    runner.consent = Consent.GRANTED
    return runner
}

internal fun input() = Input.of(mapOf("x" to X))

class FallbackRunnerTest {
    @Test
    fun onTheDevice() {
        FallbackRunner(onDevice()).use { runner ->
            val answer = runner.call(input())
            assertEquals(Side.DEVICE, answer.ranOn)
            assertEquals(Reason.MODE_ONLY_ON_DEVICE, answer.reason)
            assertArrayEquals(TWICE, answer.outputs.getValue("y"), 0f)
            assertEquals("ab".repeat(32), answer.modelSha256)
            assertEquals(listOf(Outcome.ANSWERED), answer.attempts.map { it.outcome })
            assertNotNull(answer.attempts[0].spans.inferenceMs)
        }
    }

    @Test
    fun onTheServer() = OipServer().use { server ->
        granted(server.url, token = "t0ken").use { runner ->
            val answer = runner.call(input(), deadlineMs = 5000.0)
            assertEquals(Side.SERVER, answer.ranOn)
            assertFalse(answer.fellBack)
            assertArrayEquals(TWICE, answer.result.getValue("y"), 0f)
            assertEquals("3", answer.modelVersion)
            assertEquals("cd".repeat(32), answer.modelSha256)
            val attempt = answer.attempts.single()
            assertTrue(attempt.sent && attempt.payloadBytes > 16)
            assertEquals(0.25, attempt.spans.queueMs ?: 0.0, 0.0)
            with(attempt.spans) {
                for (span in listOf(metadataMs, sendMs, waitMs, receiveMs, decodeMs)) assertNotNull(span)
            }
            assertEquals("Bearer t0ken", server.seen.single().authorization)
            assertTrue("\"outcome\":\"answered\"" in answer.toJson().write())
        }
    }

    @Test
    fun metadataAreAskedForOnceAndTheDeadlineTravelsAsADuration() = OipServer().use { server ->
        granted(server.url, policy = ONLY_SERVER).use { runner ->
            repeat(3) { runner.call(input(), deadlineMs = 4000.0) }
            runner.call(input())
        }
        assertEquals(1, server.questions.get())
        assertTrue(server.seen.take(3).all { it.timeoutUs in 1_000_000..4_000_000 })
        assertTrue(server.seen[3].timeoutUs in 8_000_000..10_000_000)
    }

    @Test
    fun withoutADeviceAContractIsNeeded() = OipServer().use { server ->
        granted(server.url, device = null, policy = ONLY_SERVER).use { runner ->
            assertEquals(Side.SERVER, runner.call(input()).ranOn)
        }
        assertThrows(IllegalArgumentException::class.java) { FallbackRunner(null, Endpoint(server.url, "m")) }
        Unit
    }

    @Test
    fun aServerThatIsBusyIsAskedOnceMoreWhereNothingElseCanAnswer() = OipServer().use { server ->
        server.status = 503
        granted(server.url).use { runner ->
            val answer = runner.call(input())
            assertEquals(Side.DEVICE, answer.ranOn)
            assertTrue(answer.fellBack)
            assertEquals(1, server.seen.size)
            val failure = assertThrows(CallFailed::class.java) { runner.call(input(), mode = Mode.ONLY_SERVER) }
            assertTrue(failure.cause is Busy)
            assertEquals(2, failure.attempts.size)
            assertEquals(3, server.seen.size)
            assertThrows(CallFailed::class.java) { runner.call(input(), mode = Mode.ONLY_SERVER) }
            assertEquals("the budget is spent", 4, server.seen.size)
        }
    }

    @Test
    fun retryAfterIsWaitedForOnlyWhereItFits() = OipServer().use { server ->
        server.status = 503
        server.headers = mapOf("Retry-After" to "1")
        granted(server.url, policy = ONLY_SERVER).use { runner ->
            assertThrows(CallFailed::class.java) { runner.call(input(), deadlineMs = 800.0) }
            assertEquals(1, server.seen.size)
            val began = nowMs()
            val later = thread {
                Thread.sleep(300)
                server.status = 200
            }
            val answer = runner.call(input(), deadlineMs = 6000.0)
            later.join()
            assertTrue(nowMs() - began >= 1000)
            assertEquals(listOf(Outcome.FAILED, Outcome.ANSWERED), answer.attempts.map { it.outcome })
        }
    }

    @Test
    fun refusalsAreSignsOfLifeAndRedirectsAreNotFollowed() = OipServer().use { server ->
        RawServer().use { elsewhere ->
            granted(server.url, policy = ONLY_SERVER).use { runner ->
                server.status = 401
                repeat(12) {
                    val failure = assertThrows(CallFailed::class.java) { runner.call(input()) }
                    assertTrue(failure.cause is Unauthenticated)
                }
                server.headers = mapOf("Location" to elsewhere.url)
                for (status in listOf(301, 302, 303, 307, 308)) {
                    server.status = status
                    val failure = assertThrows(CallFailed::class.java) { runner.call(input()) }
                    assertTrue(failure.cause is AnswerError)
                    assertTrue(failure.message.orEmpty(), "redirects ($status)" in failure.message.orEmpty())
                }
            }
            assertEquals(0, elsewhere.connections.get())
        }
    }

    @Test
    fun anotherModelOnTheServerIsNoticed() = OipServer().use { server ->
        server.metadata = parseJson(
            """{"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":[1,5]}],"outputs":[]}""",
        )
        granted(server.url).use { runner ->
            val answer = runner.call(input())
            assertEquals(Side.DEVICE, answer.ranOn)
            assertTrue("is it another model?" in answer.attempts[0].error)
            val failure = assertThrows(CallFailed::class.java) { runner.call(input(), mode = Mode.ONLY_SERVER) }
            assertTrue(failure.cause is ContractError)
        }
        assertEquals(1, server.questions.get())
        assertTrue(server.seen.isEmpty())
    }

    @Test
    fun aHedgeAnswersAndTheRequestIsClosed() {
        val (size, body) = answered(TWICE)
        val whole = "HTTP/1.1 200 OK\r\n$HEADER: $size\r\nContent-Length: ${body.size}\r\n\r\n".toByteArray() + body
        val left = AtomicInteger(3) // answers, before it falls silent
        val tiring = faulty {
            if (left.getAndDecrement() > 0) {
                Thread.sleep(50) // the hedge comes after as long, when the request has surely begun
                it.getOutputStream().write(whole)
            } else {
                drain(it)
            }
        }
        tiring.use {
            granted(tiring.url).use { runner ->
                repeat(3) {
                    runner.call(input(), mode = Mode.ONLY_SERVER)
                    runner.call(input(), mode = Mode.ONLY_ON_DEVICE)
                }
                val answer = runner.call(input(), deadlineMs = 4000.0)
                assertEquals(Side.DEVICE, answer.ranOn)
                assertNotNull(answer.decision.hedgeAfterMs)
                val outcomes = answer.attempts.associate { it.side to it.outcome }
                assertEquals(mapOf(Side.SERVER to Outcome.CANCELLED, Side.DEVICE to Outcome.ANSWERED), outcomes)
                eventually { tiring.open.get() == 0 }
                assertTrue(answer.totalMs < 4000)
            }
        }
    }

    @Test
    fun aDeviceThatFailsIsReplaced() = OipServer().use { server ->
        val policy = EAGER.copy(mode = Mode.PREFER_ON_DEVICE)
        granted(server.url, onDevice { error("the runtime is broken") }, policy).use { runner ->
            val answer = runner.call(input())
            assertEquals(Side.SERVER, answer.ranOn)
            assertEquals("the runtime is broken", answer.attempts[0].error)
            val failure = assertThrows(CallFailed::class.java) { runner.call(input(), mode = Mode.ONLY_ON_DEVICE) }
            assertEquals("the runtime is broken", failure.cause?.message)
        }
        val unsupported = OnDevice(DOUBLING, "doubling", "") { throw UnsatisfiedLinkError("no such library") }
        granted(server.url, unsupported, policy).use { runner ->
            assertTrue(runner.call(input()).fellBack)
            assertEquals(Reason.UNIT_UNSUPPORTED, runner.call(input()).reason)
        }
        granted(server.url, onDevice(present = false), policy).use { runner ->
            assertEquals(Reason.MODEL_ABSENT, runner.call(input()).reason)
        }
    }

    @Test
    fun aRunThatIsGivenUpComputesOnAndIsCounted() {
        val gate = CountDownLatch(1)
        val slow = Engine { inputs -> doubling(inputs).also { gate.await() } }
        FallbackRunner(onDevice(engine = slow)).use { runner ->
            val failure = assertThrows(DeadlineMissed::class.java) { runner.call(input(), deadlineMs = 150.0) }
            assertEquals(listOf(Outcome.ABANDONED), failure.attempts.map { it.outcome })
            assertEquals(1, runner.abandoned)
            repeat(8) { assertThrows(DeadlineMissed::class.java) { runner.call(input(), deadlineMs = 10.0) } }
            assertEquals(1, Thread.getAllStackTraces().keys.count { it.name == "edge-client-device" && it.isAlive })
            gate.countDown()
            assertEquals(Side.DEVICE, runner.call(input()).ranOn)
            assertEquals(0, runner.abandoned)
        }
    }

    @Test
    fun inputsThatDoNotFitAreRefused() {
        FallbackRunner(onDevice()).use { runner ->
            for (bad in listOf(emptyMap(), mapOf("x" to FloatArray(3)), mapOf("x" to X, "z" to X))) {
                assertThrows(ContractError::class.java) { runner.call(Input.of(bad)) }
            }
            assertThrows(DeadlineMissed::class.java) { runner.call(input(), deadlineMs = 0.0) }
        }
        val closed = FallbackRunner(onDevice()).apply { close() }
        assertThrows(IllegalStateException::class.java) { closed.call(input()) }
    }

    @Test
    fun anInterruptedCallLeavesNothing() {
        val silent = faulty(::drain)
        silent.use {
            granted(silent.url, device = null, policy = ONLY_SERVER).use { runner ->
                var ended: Exception? = null
                val caller = thread {
                    ended = runCatching { runner.call(input()) }.exceptionOrNull() as? Exception
                }
                eventually { silent.received.get() > 500 }
                caller.interrupt()
                caller.join(2000)
                assertTrue(ended is InterruptedException)
                eventually { silent.open.get() == 0 }
            }
        }
    }
}

internal fun eventually(holds: () -> Boolean) {
    val ends = nowMs() + 5000
    while (!holds()) {
        assertTrue("not within 5 s", nowMs() < ends)
        Thread.sleep(5)
    }
}
