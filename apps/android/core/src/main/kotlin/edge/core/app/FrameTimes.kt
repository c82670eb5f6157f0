package edge.core.app

private const val KEPT = 64

/** The times of one frame in nanoseconds: making the input, the model alone, and decoding. */
data class FrameTimes(val prepareNs: Long, val inferenceNs: Long, val decodeNs: Long)

/** Medians of the last frames, in milliseconds, each stage on its own. */
data class StageMedians(val prepareMs: Double, val inferenceMs: Double, val decodeMs: Double, val frames: Int)

/** Keep the times of the last 64 frames; for one thread. */
class RecentTimes {
    private val stages = Array(3) { LongArray(KEPT) }
    private var count = 0L

    fun add(times: FrameTimes) {
        val at = (count++ % KEPT).toInt()
        stages[0][at] = times.prepareNs
        stages[1][at] = times.inferenceNs
        stages[2][at] = times.decodeNs
    }

    /** Return the medians, or null before the first frame. */
    fun medians(): StageMedians? {
        val frames = minOf(count, KEPT.toLong()).toInt()
        if (frames == 0) return null
        val (prepare, inference, decode) = stages.map { quantile(it.copyOf(frames).map { ns -> ns / 1e6 }, 0.5) }
        return StageMedians(prepare, inference, decode, frames)
    }
}

/** Return a quantile, 0 to 1, of values in any order, by linear interpolation between its neighbours. */
fun quantile(values: List<Double>, share: Double): Double {
    require(values.isNotEmpty()) { "a quantile needs at least one value" }
    require(share in 0.0..1.0) { "a quantile of $share was asked for; it is from 0 to 1" }
    val sorted = values.sorted()
    val place = share * (sorted.size - 1)
    val below = place.toInt()
    val above = minOf(below + 1, sorted.size - 1)
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below)
}
