package edge.core.client

import edge.core.policy.DataClass
import edge.core.policy.Decision
import edge.core.policy.METERED_CAP_BYTES
import edge.core.policy.Mode
import edge.core.policy.Side

private const val LONGEST_CONNECT_MS = 3_000.0

/** How a picture goes up: as the file that the app encodes, or as the preprocessed input. */
enum class Upload { PICTURE, TENSORS }

/** The settings of a runner's calls; the defaults send nothing. What is no picture travels as tensors. */
data class Policy(
    val mode: Mode = Mode.ONLY_ON_DEVICE,
    val dataClass: DataClass = DataClass.LOCAL_ONLY,
    val meteredCapBytes: Long = METERED_CAP_BYTES,
    val deadlineMs: Double? = null,
    val upload: Upload = Upload.PICTURE,
)

/**
 * Return how long the server may take, from the call's beginning, before the device takes over or the call fails.
 *
 * Nobody knows when a device of unknown speed has to begin; without a hedge it gets the second half of the time.
 */
fun serverLimitMs(decision: Decision, deadlineMs: Double?): Double? {
    val unknown = decision.deviceMs == null && decision.hedgeAfterMs == null
    val shared = decision.runOn == Side.SERVER && decision.fallback == Side.DEVICE && unknown
    return if (deadlineMs != null && shared) deadlineMs / 2 else decision.timeoutMs
}

/** Return how long connecting may take: where the other side is open, at most half of the time that is left. */
fun connectLimitMs(leftMs: Double, spare: Boolean): Double =
    minOf(LONGEST_CONNECT_MS, if (spare) leftMs / 2 else leftMs)
