package edge.core.client

private const val SHARE = 0.1 // of the calls
private const val MOST_TOKENS = 10.0
private const val FIRST_TOKENS = 1.0
private const val LEAST_BACKOFF_MS = 50.0 // before a retry that the server named no time for
private const val MOST_BACKOFF_MS = 150.0
private const val JITTER = 0.25 // of the time that the server named, so that clients do not return together
internal const val LONGEST_RETRY_AFTER_S = 60

/**
 * Earn a tenth of a retry with every call; a retry costs a whole one. Thread-safe.
 *
 * After Google, "Site Reliability Engineering" (2016), chapter 21: a budget keeps an overload from doubling.
 */
class RetryBudget {
    private var tokens = FIRST_TOKENS

    /** Count a call that sends its first request. */
    @Synchronized
    fun earn() {
        tokens = minOf(tokens + SHARE, MOST_TOKENS)
    }

    /** Take a retry out of the budget, and say whether there was one. */
    @Synchronized
    fun spend(): Boolean {
        if (tokens < 1.0 - 1e-9) return false
        tokens -= 1.0
        return true
    }
}

/** Return how long to wait before a retry, in milliseconds; `random` returns a number in [0, 1). */
fun retryDelayMs(retryAfterS: Int?, random: () -> Double): Double {
    if (retryAfterS == null) return LEAST_BACKOFF_MS + (MOST_BACKOFF_MS - LEAST_BACKOFF_MS) * random()
    return minOf(retryAfterS, LONGEST_RETRY_AFTER_S) * 1000.0 * (1.0 + JITTER * random())
}

/** Say whether a retry can still answer in time; an unknown duration is taken to be short. */
fun leavesTime(delayMs: Double, expectedMs: Double?, leftMs: Double): Boolean = delayMs + (expectedMs ?: 0.0) < leftMs
