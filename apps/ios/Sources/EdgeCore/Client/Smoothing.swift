private let weight = 0.25  // of a new sample
private let forgetMs = 60_000.0  // after a minute networks are others: the next sample stands alone
private let window = 64  // durations
private let windowMs = 300_000.0
private let leastUploadBytes = 16_384  // a smaller body leaves in TCP's first window, with the round trip: RFC 6928
private let smallBitsPerS = 1e9  // the uplink that counts for those
private let ownRuns = 10  // of the device, from which on its own times count more than a profile's
private let leastMs = 0.05  // below it a clock's steps are most of a difference

/// An exponentially weighted mean, which begins anew after a minute without samples.
public struct Smoothed: Sendable {
    public private(set) var value: Double?
    private var atMs = 0.0

    public init() {}

    /// Take a sample in.
    public mutating func add(_ sample: Double, nowMs: Double) {
        if let before = value, nowMs - atMs <= forgetMs {
            value = before + weight * (sample - before)
        } else {
            value = sample
        }
        atMs = nowMs
    }
}

/// The last 64 durations of the last five minutes.
public struct Durations: Sendable {
    private var found: [(atMs: Double, durationMs: Double)] = []

    public init() {}

    /// Take a duration in.
    public mutating func add(_ durationMs: Double, nowMs: Double) {
        found.append((nowMs, durationMs))
        if found.count > window { found.removeFirst() }
    }

    /// Return the duration of rank ⌈share · n⌉ (nearest rank); nil without any.
    public func quantile(_ share: Double, nowMs: Double) -> Double? {
        let recent = found.filter { nowMs - $0.atMs <= windowMs }.map(\.durationMs).sorted()
        let rank = Int((share * Double(recent.count)).rounded(.up))
        return recent.isEmpty ? nil : recent[max(rank, 1) - 1]
    }

    /// Return how many durations there are.
    public func count(nowMs: Double) -> Int { found.filter { nowMs - $0.atMs <= windowMs }.count }
}

/// One request and its answer, in milliseconds and bytes.
///
/// `sendMs` is until the body was handed to the system, `waitMs` from then to the answer's head. `serverMs` is what the
/// server says it took, from the whole request to the answer; `connectMs` what TCP took to connect, if it did.
public struct Exchange: Equatable, Sendable {
    public let payloadBytes: Int
    public let sendMs: Double
    public let waitMs: Double
    public let serverMs: Double?
    public let connectMs: Double?

    public init(payloadBytes: Int, sendMs: Double, waitMs: Double, serverMs: Double? = nil, connectMs: Double? = nil) {
        self.payloadBytes = payloadBytes
        self.sendMs = sendMs
        self.waitMs = waitMs
        self.serverMs = serverMs
        self.connectMs = connectMs
    }
}

/// Round trip, uplink, and the server's own time.
public struct ServerEstimates: Sendable {
    public private(set) var rttMs = Smoothed()
    public private(set) var times = Durations()
    private var uplink = Smoothed()
    private var busyUntilMs = 0.0

    public init() {}

    /// Learn from an answered request.
    public mutating func observe(_ exchange: Exchange, nowMs: Double) {
        if let connectMs = exchange.connectMs { rttMs.add(connectMs, nowMs: nowMs) }
        let serverMs = exchange.serverMs ?? max(exchange.waitMs - (rttMs.value ?? 0), 0)
        let wireMs = max(exchange.sendMs + exchange.waitMs - serverMs, 0)
        if exchange.payloadBytes < leastUploadBytes {
            rttMs.add(wireMs, nowMs: nowMs)
        } else {
            if wireMs < rttMs.value ?? Double.infinity { rttMs.add(wireMs, nowMs: nowMs) }
            let uploadMs = max(wireMs - (rttMs.value ?? 0), leastMs)
            uplink.add(Double(exchange.payloadBytes) * 8000.0 / uploadMs, nowMs: nowMs)
        }
        times.add(serverMs, nowMs: nowMs)
    }

    /// Learn a round trip that was measured beside a request.
    mutating func connected(_ connectMs: Double, nowMs: Double) {
        rttMs.add(connectMs, nowMs: nowMs)
    }

    /// Return the uplink for a body of a size; nil if nothing is known.
    public func uplinkBitsPerS(payloadBytes: Int) -> Double? {
        payloadBytes < leastUploadBytes ? smallBitsPerS : uplink.value
    }

    /// Learn from a request that was given up: the server took at least so long, less what the network takes.
    public mutating func gaveUp(afterMs: Double, nowMs: Double) {
        let least = afterMs - (rttMs.value ?? 0)
        if let known = times.quantile(0.9, nowMs: nowMs), least > known { times.add(least, nowMs: nowMs) }
    }

    /// Remember until when the server said that it is busy.
    public mutating func announced(retryAfterS: Int, nowMs: Double) {
        busyUntilMs = max(busyUntilMs, nowMs + Double(retryAfterS) * 1000)
    }

    /// Return the wait that the server announced.
    public func queueMs(nowMs: Double) -> Double { max(busyUntilMs - nowMs, 0) }
}

/// The device's own time while it is cool; a profile's until enough runs are known.
public struct DeviceEstimates: Sendable {
    private let profiledP90Ms: Double?
    private var times = Durations()

    public init(profiledP90Ms: Double? = nil) {
        self.profiledP90Ms = profiledP90Ms
    }

    /// Learn from a run with preprocessing and decoding, without waiting and without loading the model.
    public mutating func observe(_ durationMs: Double, nowMs: Double, isCool: Bool) {
        if isCool { times.add(durationMs, nowMs: nowMs) }
    }

    /// Return the 90th percentile, nil if nothing is known.
    public func p90Ms(nowMs: Double) -> Double? {
        if let profiledP90Ms, times.count(nowMs: nowMs) < ownRuns { return profiledP90Ms }
        return times.quantile(0.9, nowMs: nowMs)
    }
}
