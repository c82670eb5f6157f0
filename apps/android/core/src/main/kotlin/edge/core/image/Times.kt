package edge.core.image

/** Say how long a picture took in nanoseconds, kept apart: preprocessing, the model, decoding and drawing. */
data class StageTimes(val preNs: Long, val inferenceNs: Long, val postNs: Long) {
    val totalNs: Long get() = preNs + inferenceNs + postNs
}

/** Keep the times of the last `window` pictures; adding allocates nothing. Any threads. */
class Times(private val window: Int = 64) {
    private val pre = LongArray(window)
    private val inference = LongArray(window)
    private val post = LongArray(window)
    private val sorted = LongArray(window)
    private var added = 0L

    init {
        require(window > 0) { "a window of $window pictures; at least 1 is kept" }
    }

    /** How many pictures there were, those that are no longer kept included. */
    val count: Long get() = synchronized(this) { added }

    /** Take one picture's times in, in nanoseconds of a monotonic clock. */
    fun add(preNs: Long, inferenceNs: Long, postNs: Long) {
        require(preNs >= 0 && inferenceNs >= 0 && postNs >= 0) {
            "$preNs, $inferenceNs, $postNs ns; times are not negative"
        }
        synchronized(this) {
            val at = (added++ % window).toInt()
            pre[at] = preNs
            inference[at] = inferenceNs
            post[at] = postNs
        }
    }

    /** Return each stage's own median, the lower one of an even number; null before the first picture. */
    fun medians(): StageTimes? = synchronized(this) {
        if (added == 0L) null else StageTimes(median(pre), median(inference), median(post))
    }

    /** Forget everything, as for another model. */
    fun reset() = synchronized(this) { added = 0 }

    private fun median(values: LongArray): Long {
        val kept = minOf(added, window.toLong()).toInt()
        values.copyInto(sorted, 0, 0, kept)
        sorted.sort(0, kept)
        return sorted[(kept - 1) / 2]
    }
}
