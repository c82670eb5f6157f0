package edge.core.client

import edge.core.policy.BreakerState

/** A clock in milliseconds that never goes back. */
typealias Clock = () -> Double

private const val WINDOW_MS = 10_000.0
private const val LEAST_RESULTS = 10
private const val FAILED_SHARE = 0.5
private const val OPEN_MS = 5_000.0 // doubled every time that a probe fails
private const val LONGEST_OPEN_MS = 60_000.0

/** How a request went, as far as it says something about the server. */
enum class Health { SUCCEEDED, FAILED, UNDECIDED }

/** The right to make one request; `settle` says how it went, once. */
class Admission internal constructor(private val breaker: Breaker, val probe: Boolean) {
    private var settled = false

    /** Tell the breaker; later calls change nothing. */
    fun settle(health: Health) {
        synchronized(breaker) {
            if (!settled) breaker.settle(health, probe)
            settled = true
        }
    }
}

/**
 * Count results over 10 s and open when half of at least 10 failed: docs/client.md, "Execution". Thread-safe.
 *
 * After Nygard, "Release It!" (2007).
 */
class Breaker(private val clock: Clock) {
    private class Counted(val atMs: Double, val failed: Boolean)

    private val results = ArrayDeque<Counted>()
    private var openUntilMs: Double? = null
    private var openings = 0 // in a row
    private var probing = false

    /** The state for the next call: beside a probe it is open. */
    val state: BreakerState
        @Synchronized get() {
            val until = openUntilMs ?: return BreakerState.CLOSED
            return if (clock() >= until && !probing) BreakerState.HALF_OPEN else BreakerState.OPEN
        }

    /** Return the right to make a request, null while the breaker is open. */
    @Synchronized
    fun admit(): Admission? {
        val state = state
        if (state == BreakerState.OPEN) return null
        probing = state == BreakerState.HALF_OPEN
        return Admission(this, probing)
    }

    internal fun settle(health: Health, probe: Boolean) {
        if (probe) {
            probing = false
            when (health) {
                Health.FAILED -> open()
                Health.SUCCEEDED -> close()
                Health.UNDECIDED -> Unit
            }
        } else if (health != Health.UNDECIDED && openUntilMs == null) { // what began before it opened says nothing new
            count(health == Health.FAILED)
        }
    }

    private fun count(failed: Boolean) {
        val now = clock()
        results.addLast(Counted(now, failed))
        while (results.first().atMs <= now - WINDOW_MS) results.removeFirst()
        val failures = results.count { it.failed }
        if (results.size >= LEAST_RESULTS && failures >= FAILED_SHARE * results.size) open()
    }

    private fun open() {
        openUntilMs = clock() + minOf(OPEN_MS * (1L shl openings), LONGEST_OPEN_MS)
        openings = minOf(openings + 1, 16)
        results.clear()
    }

    private fun close() {
        openUntilMs = null
        openings = 0
    }
}
