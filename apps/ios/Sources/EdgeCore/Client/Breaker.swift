import Foundation

private let windowMs = 10_000.0
private let leastResults = 10
private let failedShare = 0.5
private let openMs = 5_000.0  // doubled every time that a probe fails
private let longestOpenMs = 60_000.0

/// What a request says of the server's health.
public enum Health: Sendable {
    case succeeded, failed, undecided
}

/// The right to make one request; `settle` says how it went, once.
public final class Admission: Sendable {
    public let isProbe: Bool
    private let breaker: Breaker
    private let isSettled = Locked(false)

    fileprivate init(_ breaker: Breaker, isProbe: Bool) {
        self.breaker = breaker
        self.isProbe = isProbe
    }

    /// Tell the breaker; later calls change nothing.
    public func settle(_ verdict: Health) {
        let isFirst = isSettled.with { settled in
            defer { settled = true }
            return !settled
        }
        if isFirst { breaker.settle(verdict, isProbe: isProbe) }
    }
}

/// Count results over 10 s and open when half of at least 10 failed; the clock is in milliseconds.
///
/// After Nygard, "Release It!" (2007). docs/client.md, "Execution".
public final class Breaker: Sendable {
    private struct Kept {
        var results: [(atMs: Double, failed: Bool)] = []
        var openUntilMs: Double?
        var openings = 0  // in a row
        var isProbing = false
    }

    private let clock: MonotonicClock
    private let kept = Locked(Kept())

    public init(_ clock: @escaping MonotonicClock = nowMs) {
        self.clock = clock
    }

    /// Return the state for the next call: beside a probe it is `open`.
    public var state: BreakerState { kept.with { Breaker.state($0, clock()) } }

    /// Return the right to make a request, nil while the breaker is open.
    public func admit() -> Admission? {
        let isProbe: Bool? = kept.with { kept in
            let state = Breaker.state(kept, clock())
            guard state != .open else { return nil }
            kept.isProbing = state == .halfOpen
            return kept.isProbing
        }
        return isProbe.map { Admission(self, isProbe: $0) }
    }

    fileprivate func settle(_ verdict: Health, isProbe: Bool) {
        kept.with { kept in
            if isProbe {
                kept.isProbing = false
                if verdict == .failed { trip(&kept) }
                if verdict == .succeeded {
                    kept.openUntilMs = nil
                    kept.openings = 0
                }
            } else if verdict != .undecided && kept.openUntilMs == nil {
                // What began before it opened says nothing new.
                count(&kept, failed: verdict == .failed)
            }
        }
    }

    private static func state(_ kept: Kept, _ now: Double) -> BreakerState {
        guard let until = kept.openUntilMs else { return .closed }
        return now >= until && !kept.isProbing ? .halfOpen : .open
    }

    private func count(_ kept: inout Kept, failed: Bool) {
        let now = clock()
        kept.results.append((now, failed))
        kept.results.removeAll { $0.atMs <= now - windowMs }
        let failures = kept.results.filter(\.failed).count
        if kept.results.count >= leastResults && Double(failures) >= failedShare * Double(kept.results.count) {
            trip(&kept)
        }
    }

    private func trip(_ kept: inout Kept) {
        kept.openUntilMs = clock() + min(openMs * pow(2, Double(kept.openings)), longestOpenMs)
        kept.openings = min(kept.openings + 1, 16)
        kept.results = []
    }
}
