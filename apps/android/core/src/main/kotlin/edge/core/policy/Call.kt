package edge.core.policy

/** The largest whole number up to which every one is a double. */
const val LARGEST: Long = 1L shl 53
const val METERED_CAP_BYTES: Long = 262_144

/** Say how the model stands on this device. */
data class Model(
    val present: Boolean = true, // its files are here, complete
    val supported: Boolean = true, // its runtime and its unit exist here
    val peakBytes: Long? = null, // memory that running it would still take; 0 once it is loaded
    val p90Ms: Double? = null, // of one inference with preprocessing and decoding, on the cool device
    val sustainedRatio: Double? = null, // steady over burst latency, of a sustained profile
) {
    init {
        check("peakBytes", peakBytes)
        check("p90Ms", p90Ms)
        check("sustainedRatio", sustainedRatio)
    }
}

/** Say how the device is now. */
data class Device(
    val availableBytes: Long? = null,
    val thermal: Thermal = Thermal.UNKNOWN,
    val thermalHeadroom: Double? = null, // forecast for 10 s from now; 1 is where `severe` begins
    val batteryPercent: Double? = null, // 0 to 100
    val charging: Boolean? = null,
    val lowPower: Boolean = false, // the user's low-power mode
) {
    init {
        check("availableBytes", availableBytes)
        check("thermalHeadroom", thermalHeadroom)
        check("batteryPercent", batteryPercent)
    }
}

/** Say how the network is now. */
data class Network(
    val online: Boolean = false,
    val metered: Boolean? = null,
    val rttMs: Double? = null,
    val uplinkBitsPerS: Double? = null,
) {
    init {
        check("rttMs", rttMs)
        check("uplinkBitsPerS", uplinkBitsPerS)
    }
}

/** Say what is known of the server for this model: its own time, from the whole request to the answer. */
data class Server(
    val configured: Boolean = false, // there is an endpoint
    val breaker: BreakerState = BreakerState.CLOSED,
    val p90Ms: Double? = null,
    val p95Ms: Double? = null,
    val queueMs: Double = 0.0, // a wait that the server announced, above what its p90 holds
) {
    init {
        check("p90Ms", p90Ms)
        check("p95Ms", p95Ms)
        check("queueMs", queueMs)
    }
}

/**
 * Everything that one decision depends on, but for the state and the clock; docs/policy.md specifies every field.
 *
 * Times are in milliseconds, null is unknown, and every default is the one under which nothing is sent. Numbers below
 * zero, infinite, NaN, or whole and above 2^53 raise IllegalArgumentException.
 */
data class Call(
    val mode: Mode = Mode.ONLY_ON_DEVICE,
    val consent: Consent = Consent.UNSET,
    val dataClass: DataClass = DataClass.LOCAL_ONLY,
    val payloadBytes: Long = 0, // of the request's body
    val meteredCapBytes: Long = METERED_CAP_BYTES,
    val deadlineMs: Double? = null, // time left from now; null: none
    val model: Model = Model(),
    val device: Device = Device(),
    val network: Network = Network(),
    val server: Server = Server(),
) {
    init {
        check("payloadBytes", payloadBytes)
        check("meteredCapBytes", meteredCapBytes)
        check("deadlineMs", deadlineMs)
    }
}

/** What the policy remembers between calls, per model and endpoint; `State()` knows nothing. */
data class State(
    val mode: Mode? = null, // of the last call
    val side: Side? = null, // where calls run for which both sides are open
    val sinceMs: Long = 0, // when `side` was taken
    val streak: Int = 0, // calls in a row that wanted to leave `side`
    val lastMs: Long = 0, // of the last call
) {
    init {
        check("sinceMs", sinceMs)
        check("streak", streak.toLong())
        check("lastMs", lastMs)
    }
}

/** Where to run, why, and what the client may do on the way. */
data class Decision(
    val runOn: Side?, // null: unavailable
    val reason: Reason,
    val fallback: Side?, // the side that takes over if `runOn` fails or, for the server, is late
    val uploadAllowed: Boolean, // false: not one byte of the input may leave the device for this call
    val deadlineMissExpected: Boolean,
    val hedgeAfterMs: Double?, // start the device as well if the server has not answered by then
    val timeoutMs: Double?, // the call fails after that; null: it may take as long as it takes
    val deviceMs: Double?, // the estimates
    val serverMs: Double?,
    val deviceBlocked: Reason?,
    val serverBlocked: Reason?,
)

private fun check(name: String, value: Double?) {
    require(value == null || (value >= 0.0 && value.isFinite())) {
        "$name is $value; give a finite number from 0, or null where it is unknown"
    }
}

private fun check(name: String, value: Long?) {
    require(value == null || value in 0..LARGEST) { "$name is $value; give a whole number from 0 to 2^53, or null" }
}
