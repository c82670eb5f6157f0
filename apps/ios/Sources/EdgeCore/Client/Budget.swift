private let earned = 0.1  // of the calls
private let mostTokens = 10.0
private let firstTokens = 1.0
private let jitter = 0.25
private let backoffMs = (low: 50.0, high: 150.0)
private let longestRetryAfterS = 60

/// Earn a tenth of a retry with every call; a retry costs a whole one.
///
/// Source: Google, "Site Reliability Engineering" (2016), chapter 21. docs/client.md, "Execution".
public struct RetryBudget: Sendable {
    private var tokens = firstTokens

    public init() {}

    /// Count a call that sends its first request.
    public mutating func earn() {
        tokens = min(tokens + earned, mostTokens)
    }

    /// Take a retry out of the budget, and say whether there was one.
    public mutating func spend() -> Bool {
        guard tokens >= 1 - 1e-9 else { return false }
        tokens -= 1
        return true
    }
}

/// Return how long to wait before a retry, in milliseconds; `random` returns a number in [0, 1).
public func retryDelayMs(retryAfterS: Int?, random: () -> Double) -> Double {
    guard let retryAfterS else { return backoffMs.low + (backoffMs.high - backoffMs.low) * random() }
    return Double(min(retryAfterS, longestRetryAfterS)) * 1000 * (1 + jitter * random())
}

/// Say whether a retry can still answer in time; an unknown duration is taken to be short.
public func leavesTime(delayMs: Double, expectedMs: Double?, leftMs: Double) -> Bool {
    delayMs + (expectedMs ?? 0) < leftMs
}
