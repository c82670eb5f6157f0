package edge.core.policy

import edge.core.json.JsonReader
import edge.core.json.parseJson
import edge.core.json.required
import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Test

/** Every case of apps/shared/golden/policy.json, exactly. */
class PolicyGoldenTest {
    private val golden = JsonReader(parseJson(File(System.getProperty("golden"), "policy.json").readText())).members()

    @Test
    fun constants() {
        val found = golden.required("constants").members().mapValues { it.value.double() }
        assertEquals(found, POLICY_CONSTANTS)
    }

    @Test
    fun everyCase() {
        assertEquals(1, golden.required("schema").int())
        val cases = golden.required("cases").items().map { it.members(setOf("name", "state", "steps")) }
        assertEquals(353, cases.size)
        for (case in cases) {
            var state = readState(case.required("state"))
            case.required("steps").items().forEachIndexed { index, item ->
                val step = item.members(setOf("now_ms", "call", "decision", "state"))
                val found = decide(readCall(step.required("call")), state, step.required("now_ms").long())
                val place = "${case.required("name").string()}, step $index"
                assertEquals(place, readDecision(step.required("decision")), found.decision)
                assertEquals(place, readState(step.required("state")), found.state)
                state = found.state
            }
        }
    }
}

private fun readCall(value: JsonReader): Call = with(value.members(CALL)) {
    Call(
        mode = enumOf(required("mode")) { it.code },
        consent = enumOf(required("consent")) { it.code },
        dataClass = enumOf(required("data_class")) { it.code },
        payloadBytes = required("payload_bytes").long(),
        meteredCapBytes = required("metered_cap_bytes").long(),
        deadlineMs = required("deadline_ms").orNull { double() },
        model = readModel(required("model")),
        device = readDevice(required("device")),
        network = readNetwork(required("network")),
        server = readServer(required("server")),
    )
}

private val CALL = setOf(
    "mode", "consent", "data_class", "payload_bytes", "metered_cap_bytes", "deadline_ms", "model", "device", "network",
    "server",
)

private fun readModel(value: JsonReader): Model =
    with(value.members(setOf("present", "supported", "peak_bytes", "p90_ms", "sustained_ratio"))) {
        Model(
            present = required("present").boolean(),
            supported = required("supported").boolean(),
            peakBytes = required("peak_bytes").orNull { long() },
            p90Ms = required("p90_ms").orNull { double() },
            sustainedRatio = required("sustained_ratio").orNull { double() },
        )
    }

private val DEVICE =
    setOf("available_bytes", "thermal", "thermal_headroom", "battery_percent", "charging", "low_power")

private fun readDevice(value: JsonReader): Device = with(value.members(DEVICE)) {
    Device(
        availableBytes = required("available_bytes").orNull { long() },
        thermal = enumOf(required("thermal")) { it.code },
        thermalHeadroom = required("thermal_headroom").orNull { double() },
        batteryPercent = required("battery_percent").orNull { double() },
        charging = required("charging").orNull { boolean() },
        lowPower = required("low_power").boolean(),
    )
}

private fun readNetwork(value: JsonReader): Network =
    with(value.members(setOf("online", "metered", "rtt_ms", "uplink_bits_per_s"))) {
        Network(
            online = required("online").boolean(),
            metered = required("metered").orNull { boolean() },
            rttMs = required("rtt_ms").orNull { double() },
            uplinkBitsPerS = required("uplink_bits_per_s").orNull { double() },
        )
    }

private fun readServer(value: JsonReader): Server =
    with(value.members(setOf("configured", "breaker", "p90_ms", "p95_ms", "queue_ms"))) {
        Server(
            configured = required("configured").boolean(),
            breaker = enumOf(required("breaker")) { it.code },
            p90Ms = required("p90_ms").orNull { double() },
            p95Ms = required("p95_ms").orNull { double() },
            queueMs = required("queue_ms").double(),
        )
    }

private fun readState(value: JsonReader): State =
    with(value.members(setOf("mode", "side", "since_ms", "streak", "last_ms"))) {
        State(
            mode = required("mode").orNull { enumOf<Mode>(this) { it.code } },
            side = required("side").orNull { enumOf<Side>(this) { it.code } },
            sinceMs = required("since_ms").long(),
            streak = required("streak").int(),
            lastMs = required("last_ms").long(),
        )
    }

private val DECISION = setOf(
    "run_on", "reason", "fallback", "upload_allowed", "deadline_miss_expected", "hedge_after_ms", "timeout_ms",
    "device_ms", "server_ms", "device_blocked", "server_blocked",
)

private fun readDecision(value: JsonReader): Decision = with(value.members(DECISION)) {
    Decision(
        runOn = with(required("run_on")) { if (string() == "unavailable") null else enumOf<Side>(this) { it.code } },
        reason = enumOf(required("reason")) { it.code },
        fallback = required("fallback").orNull { enumOf<Side>(this) { it.code } },
        uploadAllowed = required("upload_allowed").boolean(),
        deadlineMissExpected = required("deadline_miss_expected").boolean(),
        hedgeAfterMs = required("hedge_after_ms").orNull { double() },
        timeoutMs = required("timeout_ms").orNull { double() },
        deviceMs = required("device_ms").orNull { double() },
        serverMs = required("server_ms").orNull { double() },
        deviceBlocked = required("device_blocked").orNull { enumOf<Reason>(this) { it.code } },
        serverBlocked = required("server_blocked").orNull { enumOf<Reason>(this) { it.code } },
    )
}

private inline fun <reified E : Enum<E>> enumOf(value: JsonReader, code: (E) -> String): E {
    val text = value.string()
    return enumValues<E>().firstOrNull { code(it) == text } ?: value.fail("'$text' is no ${E::class.java.simpleName}")
}
