package edge.core.smoothing

import kotlin.math.PI
import kotlin.math.abs

private const val NANOSECONDS = 1e9

/**
 * Say how strongly a One-Euro filter smooths: after Casiez, Roussel and Vogel, CHI 2012.
 *
 * `minCutoffHz` is the cutoff at rest: lower takes more jitter away; `beta` raises it with speed: higher lags less;
 * `speedCutoffHz` smooths the speed itself.
 */
data class OneEuroSettings(val minCutoffHz: Double = 1.0, val beta: Double = 0.0, val speedCutoffHz: Double = 1.0) {
    init {
        checkPositive("minCutoffHz", minCutoffHz)
        checkPositive("speedCutoffHz", speedCutoffHz)
        require(beta >= 0 && beta.isFinite()) { "beta is $beta; it must not be negative" }
    }
}

/**
 * Smooth one number over time.
 *
 * A first value passes as it is. A value that is not finite, or whose time is not after the last one's, changes
 * nothing: the last smoothed value is returned again.
 */
class OneEuro(private val settings: OneEuroSettings = OneEuroSettings()) {
    private var value = 0.0
    private var speed = 0.0
    private var atNs = 0L
    private var started = false

    /** Forget everything: the next value stands alone. */
    fun reset() {
        started = false
    }

    /** Return the smoothed value; speeds count in units of `scale` a second. */
    fun smooth(raw: Double, timeNs: Long, scale: Double = 1.0): Double {
        checkPositive("scale", scale)
        if (!raw.isFinite()) return if (started) value else raw
        if (!started) {
            started = true
            speed = 0.0
            value = raw
        } else if (timeNs > atNs) {
            val seconds = (timeNs - atNs) / NANOSECONDS
            speed += share(settings.speedCutoffHz, seconds) * ((raw - value) / seconds / scale - speed)
            value += share(settings.minCutoffHz + settings.beta * abs(speed), seconds) * (raw - value)
        } else {
            return value
        }
        atNs = timeNs
        return value
    }
}

/** Return how much of a new value a low-pass of a cutoff takes in after a time. */
internal fun share(cutoffHz: Double, seconds: Double): Double {
    val turned = 2 * PI * cutoffHz * seconds
    return turned / (1 + turned)
}

internal fun checkPositive(name: String, value: Double) =
    require(value > 0 && value.isFinite()) { "$name is $value; it has to be positive" }
