/// How an attempt ended; an abandoned one is a device run that could not be interrupted and still computes.
public enum Outcome: String, CaseIterable, Sendable {
    case answered, failed
    case timedOut = "timed_out"
    case cancelled, abandoned
    case notSent = "not_sent"
}

/// Where an attempt's time went, in milliseconds; nil for what did not happen or is not known.
///
/// `queueMs` and `inferenceMs` of the server are what it reports of itself; they lie within `waitMs`.
public struct Spans: Equatable, Sendable {
    public var prepareMs: Double?  // preprocessing, or encoding what is sent
    public var metadataMs: Double?  // asking the server about the model, once
    public var connectMs: Double?  // with TLS
    public var sendMs: Double?
    public var waitMs: Double?
    public var receiveMs: Double?
    public var queueMs: Double?
    public var inferenceMs: Double?
    public var decodeMs: Double?

    public init() {}
}

/// One try of one side; times in milliseconds since the call began. `sent` says whether any byte of it left.
public struct Attempt: Equatable, Sendable {
    public let side: Side
    public let outcome: Outcome
    public let beganMs: Double
    public let endedMs: Double
    public let spans: Spans
    public let error: String
    public let sent: Bool
    public let payloadBytes: Int
}

/// What one side returned; outputs are named and laid out by the side's contract.
struct SideAnswer<R: Sendable>: Sendable {
    let side: Side
    let outputs: [String: [Float]]
    let result: R
    let model: String
    let modelVersion: String
    let modelSha256: String
}

/// A call's answer.
///
/// `result` is decoded in the picture's coordinates; `outputs` are the model's. `decision` is the policy's; `ranOn`
/// differs from its `runOn` after a fallback or a hedge. `modelSha256` is that of the weights, empty where the server
/// does not tell.
public struct Answer<R: Sendable>: Sendable {
    public let result: R
    public let outputs: [String: [Float]]
    public let ranOn: Side
    public let reason: Reason
    public let decision: Decision
    public let attempts: [Attempt]
    public let model: String
    public let modelVersion: String
    public let modelSha256: String
    public let totalMs: Double

    /// Say whether another side answered than the one that the call began with.
    public var fellBack: Bool { ranOn != decision.runOn }
}
