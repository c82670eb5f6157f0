/// The largest whole number up to which every one is a double.
public let LARGEST = 1 << 53
public let METERED_CAP_BYTES = 262_144

/// Report a number that no call can hold: negative, infinite, NaN, or whole and above 2^53.
public struct CallError: Error, Equatable, CustomStringConvertible {
    public let description: String
}

/// Say how the model stands on this device.
public struct Model: Equatable, Sendable {
    public var present = true  // its files are here, complete
    public var supported = true  // its runtime and its unit exist here
    public var peakBytes: Int?  // memory that running it would still take; 0 once it is loaded
    public var p90Ms: Double?  // of one inference with preprocessing and decoding, on the cool device
    public var sustainedRatio: Double?  // steady over burst latency, of a sustained profile

    public init() {}

    func check() throws {
        try checkNumber("peakBytes", peakBytes)
        try checkNumber("p90Ms", p90Ms)
        try checkNumber("sustainedRatio", sustainedRatio)
    }
}

/// Say how the device is now.
public struct Device: Equatable, Sendable {
    public var availableBytes: Int?
    public var thermal = Thermal.unknown
    public var thermalHeadroom: Double?  // forecast for 10 s from now; 1 is where `severe` begins
    public var batteryPercent: Double?  // 0 to 100
    public var charging: Bool?
    public var lowPower = false  // the user's low-power mode

    public init() {}

    func check() throws {
        try checkNumber("availableBytes", availableBytes)
        try checkNumber("thermalHeadroom", thermalHeadroom)
        try checkNumber("batteryPercent", batteryPercent)
    }
}

/// Say how the network is now.
public struct Network: Equatable, Sendable {
    public var online = false
    public var metered: Bool?
    public var rttMs: Double?
    public var uplinkBitsPerS: Double?

    public init() {}

    func check() throws {
        try checkNumber("rttMs", rttMs)
        try checkNumber("uplinkBitsPerS", uplinkBitsPerS)
    }
}

/// Say what is known of the server for this model: its own time, from the whole request to the answer.
public struct Server: Equatable, Sendable {
    public var configured = false  // there is an endpoint
    public var breaker = BreakerState.closed
    public var p90Ms: Double?
    public var p95Ms: Double?
    public var queueMs = 0.0  // a wait that the server announced, above what its p90 holds

    public init() {}

    func check() throws {
        try checkNumber("server.p90Ms", p90Ms)
        try checkNumber("server.p95Ms", p95Ms)
        try checkNumber("server.queueMs", queueMs)
    }
}

/// Everything that one decision depends on, but for the state and the clock; docs/policy.md specifies every field.
///
/// Times are in milliseconds, nil is unknown, and every default is the one under which nothing is sent.
public struct Call: Equatable, Sendable {
    public var mode = Mode.onlyOnDevice
    public var consent = Consent.unset
    public var dataClass = DataClass.localOnly
    public var payloadBytes = 0  // of the request's body
    public var meteredCapBytes = METERED_CAP_BYTES
    public var deadlineMs: Double?  // time left from now; nil: none
    public var model = Model()
    public var device = Device()
    public var network = Network()
    public var server = Server()

    public init() {}

    /// Throw CallError for a number that no call can hold.
    public func check() throws {
        try checkNumber("payloadBytes", payloadBytes)
        try checkNumber("meteredCapBytes", meteredCapBytes)
        try checkNumber("deadlineMs", deadlineMs)
        try model.check()
        try device.check()
        try network.check()
        try server.check()
    }
}

/// What the policy remembers between calls, per model and endpoint; `PolicyState()` knows nothing.
///
/// Kotlin and Python call it State, a name that SwiftUI has taken.
public struct PolicyState: Equatable, Sendable {
    public var mode: Mode?  // of the last call
    public var side: Side?  // where calls run for which both sides are open
    public var sinceMs = 0  // when `side` was taken
    public var streak = 0  // calls in a row that wanted to leave `side`
    public var lastMs = 0  // of the last call

    public init() {}

    public init(mode: Mode?, side: Side? = nil, sinceMs: Int = 0, streak: Int = 0, lastMs: Int = 0) {
        self.mode = mode
        self.side = side
        self.sinceMs = sinceMs
        self.streak = streak
        self.lastMs = lastMs
    }
}

/// Where to run, why, and what the client may do on the way.
public struct Decision: Equatable, Sendable {
    public let runOn: Side?  // nil: unavailable
    public let reason: Reason
    public let fallback: Side?  // the side that takes over if `runOn` fails or, for the server, is late
    public let uploadAllowed: Bool  // false: not one byte of the input may leave the device for this call
    public let deadlineMissExpected: Bool
    public let hedgeAfterMs: Double?  // start the device as well if the server has not answered by then
    public let timeoutMs: Double?  // the call fails after that; nil: it may take as long as it takes
    public let deviceMs: Double?  // the estimates
    public let serverMs: Double?
    public let deviceBlocked: Reason?
    public let serverBlocked: Reason?

    public init(
        runOn: Side?, reason: Reason, fallback: Side?, uploadAllowed: Bool, deadlineMissExpected: Bool,
        hedgeAfterMs: Double?, timeoutMs: Double?, deviceMs: Double?, serverMs: Double?, deviceBlocked: Reason?,
        serverBlocked: Reason?
    ) {
        self.runOn = runOn
        self.reason = reason
        self.fallback = fallback
        self.uploadAllowed = uploadAllowed
        self.deadlineMissExpected = deadlineMissExpected
        self.hedgeAfterMs = hedgeAfterMs
        self.timeoutMs = timeoutMs
        self.deviceMs = deviceMs
        self.serverMs = serverMs
        self.deviceBlocked = deviceBlocked
        self.serverBlocked = serverBlocked
    }
}

private func checkNumber(_ name: String, _ value: Double?) throws {
    guard let value else { return }
    guard value >= 0, value.isFinite else {
        throw CallError(description: "\(name) is \(value); give a finite number from 0, or nil where it is unknown")
    }
}

private func checkNumber(_ name: String, _ value: Int?) throws {
    guard let value else { return }
    guard (0...LARGEST).contains(value) else {
        throw CallError(description: "\(name) is \(value); give a whole number from 0 to 2^53, or nil")
    }
}
