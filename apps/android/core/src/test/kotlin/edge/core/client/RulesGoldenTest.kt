package edge.core.client

import edge.core.json.JsonReader
import edge.core.json.parseJson
import edge.core.json.required
import edge.core.policy.Decision
import edge.core.policy.Reason
import edge.core.policy.Side
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** The rules of time give what apps/shared/golden/client.json says, step by step. */
class RulesGoldenTest {
    private val golden = JsonReader(parseJson(File(System.getProperty("golden"), "client.json").readText())).members()

    private fun cases(part: String) = golden.required(part).items()

    @Test
    fun breaker() {
        for (case in cases("breaker").map { it.members() }) {
            var now = case.required("began_ms").double()
            val breaker = Breaker { now }
            val admissions = HashMap<Int, Admission>()
            case.required("steps").items().forEachIndexed { index, item ->
                val step = item.members()
                val place = "${case.required("name").string()}, step $index"
                now += step.required("pass_ms").double()
                if ("admit" in step) {
                    val found = breaker.admit()
                    assertEquals(place, step.required("admitted").boolean(), found != null)
                    assertEquals(place, step.required("probe").boolean(), found?.probe == true)
                    found?.let { admissions[step.required("admit").int()] = it }
                } else {
                    val health = Health.valueOf(step.required("result").string().uppercase())
                    admissions.getValue(step.required("settle").int()).settle(health)
                }
                assertEquals(place, step.required("state").string(), breaker.state.code)
            }
        }
    }

    @Test
    fun budget() {
        for (case in cases("budget").map { it.members() }) {
            val budget = RetryBudget()
            for (step in case.required("steps").items()) {
                if (step.isNull) budget.earn() else assertEquals(step.boolean(), budget.spend())
            }
        }
    }

    @Test
    fun serverEstimates() {
        for (case in cases("server").map { it.members() }) {
            val known = ServerEstimates()
            case.required("steps").items().forEachIndexed { index, item ->
                val step = item.members()
                val now = step.required("now_ms").double()
                step["observe"]?.let { known.observe(exchange(it.members()), now) }
                step["gave_up_ms"]?.let { known.gaveUp(it.double(), now) }
                step["retry_after_s"]?.let { known.announced(it.int(), now) }
                val place = "${case.required("name").string()}, step $index"
                same(place, step.required("rtt_ms"), known.rttMs.value)
                val sizes = listOf(100L, 16_383L, 16_384L, 1_000_000L)
                sizes.zip(step.required("uplink_bits_per_s").items()) { size, it -> same(place, it, known.uplinkBitsPerS(size)) }
                val shares = listOf(0.0, 0.5, 0.9, 0.95, 1.0)
                shares.zip(step.required("quantiles").items()) { share, it -> same(place, it, known.times.quantile(share, now)) }
                same(place, step.required("queue_ms"), known.queueMs(now))
            }
        }
    }

    @Test
    fun deviceEstimates() {
        for (case in cases("device").map { it.members() }) {
            val known = DeviceEstimates(case.required("profiled_p90_ms").orNull { double() })
            for (step in case.required("steps").items().map { it.members() }) {
                val now = step.required("now_ms").double()
                known.observe(step.required("duration_ms").double(), now, step.required("cool").boolean())
                same(case.required("name").string(), step.required("p90_ms"), known.p90Ms(now))
            }
        }
    }

    @Test
    fun meansAndQuantiles() {
        val mean = Smoothed()
        for ((sample, now, expected) in cases("smoothed").map { it.items() }) {
            mean.add(sample.double(), now.double())
            same("mean", expected, mean.value)
        }
        val times = Durations()
        for (duration in 1..100) times.add(duration.toDouble(), duration.toDouble())
        for ((share, now, expected) in cases("durations").map { it.items() }) {
            same("quantile ${share.double()}", expected, times.quantile(share.double(), now.double()))
        }
    }

    @Test
    fun limitsAndDelays() {
        for (case in cases("server_limits").map { it.members() }) {
            val found = serverLimitMs(decision(case), case.required("deadline_ms").orNull { double() })
            same("limit", case.required("limit_ms"), found)
        }
        for ((left, spare, expected) in cases("connect_limits").map { it.items() }) {
            same("connect", expected, connectLimitMs(left.double(), spare.boolean()))
        }
        for ((after, drawn, expected) in cases("retry_delays").map { it.items() }) {
            same("delay", expected, retryDelayMs(after.orNull { int() }, drawn::double))
        }
        for ((delay, expected, left, leaves) in cases("leaves_time").map { it.items() }) {
            val found = leavesTime(delay.double(), expected.orNull { double() }, left.double())
            assertEquals(leaves.boolean(), found)
        }
    }

    @Test
    fun addresses() {
        for (case in cases("addresses").map { it.members() }) {
            val url = case.required("url").string()
            val make = {
                Endpoint(
                    url, case.required("model").string(), case.required("version").string(),
                    token = case.required("token").string(), plainHttp = case.required("plain_http").boolean(),
                )
            }
            if (case.required("accept").boolean()) {
                assertEquals(url, case.required("address").string(), make().address)
                assertEquals(url, case.required("local").boolean(), make().local)
            } else {
                assertThrows(url, IllegalArgumentException::class.java) { make() }
            }
        }
        assertTrue("secret" !in Endpoint("https://host", "m", token = "secret").toString())
    }

    private fun exchange(given: Map<String, JsonReader>) = Exchange(
        payloadBytes = given.required("payload_bytes").long(),
        sendMs = given.required("send_ms").double(),
        waitMs = given.required("wait_ms").double(),
        serverMs = given.required("server_ms").orNull { double() },
        connectMs = given.required("connect_ms").orNull { double() },
    )

    private fun decision(case: Map<String, JsonReader>) = Decision(
        runOn = side(case.required("run_on")),
        reason = Reason.PREFERRED,
        fallback = case.required("fallback").orNull { side(this) },
        uploadAllowed = true,
        deadlineMissExpected = false,
        hedgeAfterMs = case.required("hedge_after_ms").orNull { double() },
        timeoutMs = case.required("timeout_ms").orNull { double() },
        deviceMs = case.required("device_ms").orNull { double() },
        serverMs = null,
        deviceBlocked = null,
        serverBlocked = null,
    )

    private fun side(value: JsonReader) = Side.entries.first { it.code == value.string() }

    private fun same(place: String, expected: JsonReader, found: Double?) {
        if (expected.isNull) {
            assertEquals(place, null, found)
        } else {
            assertTrue("$place: nothing was found", found != null)
            assertEquals(place, expected.double(), found ?: Double.NaN, 1e-12 * maxOf(1.0, expected.double()))
        }
    }
}
