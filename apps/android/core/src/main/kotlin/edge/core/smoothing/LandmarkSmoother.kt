package edge.core.smoothing

import kotlin.math.abs

private const val AXES = 3
private const val NANOSECONDS = 1e9

/** What suits landmarks whose speeds are measured in sizes of the person a second. */
val LANDMARK_SETTINGS = OneEuroSettings(minCutoffHz = 0.05, beta = 80.0, speedCutoffHz = 1.0)

/**
 * Smooth the landmarks of one person, (count, 3), in place; every axis of every point has its own One-Euro filter.
 *
 * A point seen less than `leastVisible`, or one that is not finite, passes as it is and begins anew when it is seen
 * again: what a model guesses must not pull on what it sees. Allocates nothing after it is made.
 */
class LandmarkSmoother(
    private val count: Int,
    private val settings: OneEuroSettings = LANDMARK_SETTINGS,
    private val leastVisible: Double = 0.5,
) {
    private val values = DoubleArray(count * AXES)
    private val speeds = DoubleArray(count * AXES)
    private val started = BooleanArray(count)
    private var atNs = Long.MIN_VALUE

    /** Forget everything, as for another person. */
    fun reset() {
        started.fill(false)
        atNs = Long.MIN_VALUE
    }

    /**
     * Smooth `points` (count · 3, x y z) in place; speeds count in units of `scale`, the person's size, a second.
     *
     * A time that is not after the last one's changes nothing: seen points take their last smoothed place.
     */
    fun smooth(points: DoubleArray, visibility: DoubleArray, timeNs: Long, scale: Double) {
        require(points.size == count * AXES && visibility.size == count) {
            "${points.size} coordinates and ${visibility.size} visibilities; expected ${count * AXES} and $count"
        }
        checkPositive("scale", scale)
        val seconds = if (atNs == Long.MIN_VALUE) 0.0 else (timeNs - atNs) / NANOSECONDS
        val late = atNs != Long.MIN_VALUE && timeNs <= atNs
        for (point in 0 until count) {
            if (!isSeen(points, visibility, point)) {
                if (!late) started[point] = false
            } else if (!started[point]) {
                if (!late) start(points, point)
            } else {
                for (index in point * AXES until (point + 1) * AXES) {
                    if (!late) step(points[index], index, seconds, scale)
                    points[index] = values[index]
                }
            }
        }
        if (!late) atNs = timeNs
    }

    private fun isSeen(points: DoubleArray, visibility: DoubleArray, point: Int): Boolean {
        val at = point * AXES
        return visibility[point] >= leastVisible &&
            points[at].isFinite() && points[at + 1].isFinite() && points[at + 2].isFinite()
    }

    private fun start(points: DoubleArray, point: Int) {
        started[point] = true
        for (index in point * AXES until (point + 1) * AXES) {
            values[index] = points[index]
            speeds[index] = 0.0
        }
    }

    private fun step(raw: Double, index: Int, seconds: Double, scale: Double) {
        val before = values[index]
        speeds[index] += share(settings.speedCutoffHz, seconds) * ((raw - before) / seconds / scale - speeds[index])
        values[index] += share(settings.minCutoffHz + settings.beta * abs(speeds[index]), seconds) * (raw - before)
    }
}
