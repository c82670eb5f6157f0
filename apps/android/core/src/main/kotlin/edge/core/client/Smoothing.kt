package edge.core.client

import kotlin.math.ceil

private const val WEIGHT = 0.25 // of a new sample
private const val FORGET_MS = 60_000.0 // after a minute networks are others: the next sample stands alone
private const val WINDOW = 64 // durations
private const val WINDOW_MS = 300_000.0
private const val LEAST_UPLOAD_BYTES = 16_384L // a smaller body leaves with the round trip: RFC 6928
private const val SMALL_BITS_PER_S = 1e9 // the uplink that counts for those
private const val OWN_RUNS = 10 // of the device, from which on its own times count more than a profile's
private const val LEAST_MS = 0.05 // below it a clock's steps are most of a difference

/** An exponentially weighted mean, which begins anew after a minute without samples. Thread-safe. */
class Smoothed {
    private var mean: Double? = null
    private var atMs = 0.0

    val value: Double? @Synchronized get() = mean

    /** Take a sample in. */
    @Synchronized
    fun add(sample: Double, nowMs: Double) {
        val known = mean
        mean = if (known == null || nowMs - atMs > FORGET_MS) sample else known + WEIGHT * (sample - known)
        atMs = nowMs
    }
}

/** The last 64 durations of the last five minutes. Thread-safe. */
class Durations {
    private class Found(val atMs: Double, val durationMs: Double)

    private val found = ArrayDeque<Found>()

    /** Take a duration in. */
    @Synchronized
    fun add(durationMs: Double, nowMs: Double) {
        found.addLast(Found(nowMs, durationMs))
        if (found.size > WINDOW) found.removeFirst()
    }

    /** Return the duration of rank ⌈share · n⌉ (nearest rank); null without any. */
    @Synchronized
    fun quantile(share: Double, nowMs: Double): Double? {
        val recent = found.filter { nowMs - it.atMs <= WINDOW_MS }.map { it.durationMs }.sorted()
        return recent.getOrNull(maxOf(ceil(share * recent.size).toInt(), 1) - 1)
    }

    /** Return how many durations there are. */
    @Synchronized
    fun count(nowMs: Double): Int = found.count { nowMs - it.atMs <= WINDOW_MS }
}

/**
 * One request and its answer, in milliseconds and bytes.
 *
 * `sendMs` is until the body was handed to the system, `waitMs` from then to the answer's head. `serverMs` is what the
 * server says it took, from the whole request to the answer; `connectMs` what TCP took to connect, if it did.
 */
data class Exchange(
    val payloadBytes: Long,
    val sendMs: Double,
    val waitMs: Double,
    val serverMs: Double? = null,
    val connectMs: Double? = null,
)

/** Round trip, uplink, and the server's own time. Thread-safe. */
class ServerEstimates {
    val rttMs = Smoothed()
    val times = Durations()
    private val uplink = Smoothed()
    private var busyUntilMs = 0.0

    /** Learn from an answered request. */
    @Synchronized
    fun observe(exchange: Exchange, nowMs: Double) {
        exchange.connectMs?.let { rttMs.add(it, nowMs) }
        val serverMs = exchange.serverMs ?: maxOf(exchange.waitMs - (rttMs.value ?: 0.0), 0.0)
        val wireMs = maxOf(exchange.sendMs + exchange.waitMs - serverMs, 0.0)
        val known = rttMs.value
        if (exchange.payloadBytes < LEAST_UPLOAD_BYTES || known == null || wireMs < known) rttMs.add(wireMs, nowMs)
        if (exchange.payloadBytes >= LEAST_UPLOAD_BYTES) {
            val uploadMs = maxOf(wireMs - (rttMs.value ?: 0.0), LEAST_MS)
            uplink.add(exchange.payloadBytes * 8000.0 / uploadMs, nowMs)
        }
        times.add(serverMs, nowMs)
    }

    /** Return the uplink for a body of a size; null if nothing is known. */
    fun uplinkBitsPerS(payloadBytes: Long): Double? =
        if (payloadBytes < LEAST_UPLOAD_BYTES) SMALL_BITS_PER_S else uplink.value

    /** Learn from a request that was given up: the server took at least so long, less what the network takes. */
    @Synchronized
    fun gaveUp(afterMs: Double, nowMs: Double) {
        val known = times.quantile(0.9, nowMs)
        val leastMs = afterMs - (rttMs.value ?: 0.0)
        if (known != null && leastMs > known) times.add(leastMs, nowMs)
    }

    /** Remember until when the server said that it is busy. */
    @Synchronized
    fun announced(retryAfterS: Int, nowMs: Double) {
        busyUntilMs = maxOf(busyUntilMs, nowMs + retryAfterS * 1000.0)
    }

    /** Return the wait that the server announced. */
    @Synchronized
    fun queueMs(nowMs: Double): Double = maxOf(busyUntilMs - nowMs, 0.0)
}

/** The device's own time while it is cool; a profile's until enough runs are known. Thread-safe. */
class DeviceEstimates(private val profiledP90Ms: Double? = null) {
    private val times = Durations()

    /** Learn from a run with preprocessing and decoding, without waiting and without loading the model. */
    fun observe(durationMs: Double, nowMs: Double, cool: Boolean) {
        if (cool) times.add(durationMs, nowMs)
    }

    /** Return the 90th percentile, null if nothing is known. */
    fun p90Ms(nowMs: Double): Double? {
        if (profiledP90Ms != null && times.count(nowMs) < OWN_RUNS) return profiledP90Ms
        return times.quantile(0.9, nowMs)
    }
}
