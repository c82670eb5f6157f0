/// What happened on the wire so far; written by the transport, read by anybody.
public final class Wire: Sendable {
    /// Moments in milliseconds of `nowMs`, nil for what did not happen.
    public struct Moments: Equatable, Sendable {
        public var began: Double
        public var connecting: Double?
        public var tcpBegan: Double?
        public var tcp: Double?
        public var connected: Double?
        public var sending: Double?
        public var sent: Double?
        public var head: Double?
        public var ended: Double?
    }

    private let kept = Locked(Moments(began: EdgeCore.nowMs()))

    public init() {}

    public var moments: Moments { kept.with { $0 } }

    /// Write something down.
    public func note(_ change: (inout Moments) -> Void) {
        kept.with { change(&$0) }
    }
}

func between(_ start: Double?, _ end: Double?) -> Double? {
    guard let start, let end else { return nil }
    return end - start
}

/// What one request took and sent; filled on the way, so that a cancelled one tells how far it came.
final class Trip: Sendable {
    struct Kept {
        var asked: Wire?  // the question about the model
        var prepareMs: Double?
        var metadataMs: Double?
        var decodeMs: Double?
        var payloadBytes = 0
        var reported: [String: Double] = [:]
    }

    let wire = Wire()
    private let kept = Locked(Kept())

    var known: Kept { kept.with { $0 } }

    func note(_ change: (inout Kept) -> Void) {
        kept.with { change(&$0) }
    }

    /// Say whether anything was sent, a question about the model included.
    var isSent: Bool { moments.contains { $0.sending != nil } }

    /// Say whether a connection was used or tried.
    var isTried: Bool { moments.contains { $0.connecting != nil || $0.sending != nil } }

    private var moments: [Wire.Moments] { [known.asked, wire].compactMap { $0?.moments } }

    /// Return where the time went.
    func spans() -> Spans {
        let found = known
        let wire = wire.moments
        var spans = Spans()
        spans.prepareMs = found.prepareMs
        spans.metadataMs = found.metadataMs
        spans.connectMs = between(wire.connecting, wire.connected)
        spans.sendMs = between(wire.sending, wire.sent)
        spans.waitMs = between(wire.sent, wire.head)
        spans.receiveMs = between(wire.head, wire.ended)
        spans.queueMs = found.reported["queue_ms"]
        spans.inferenceMs = found.reported["inference_ms"]
        spans.decodeMs = found.decodeMs
        return spans
    }
}
