/// Hand the latest frame from a camera to a model: one slot, never a queue.
///
/// A frame that a newer one overtakes before it was taken is dropped and counted. Any threads.
public final class LatestFrame<Value: Sendable>: Sendable {
    private struct Slot {
        var waiting: Value?
        var dropped = 0
        var isClosed = false
    }

    private let slot = Locked(Slot())

    public init() {}

    /// How many frames were overtaken before anybody took them.
    public var dropped: Int { slot.with { $0.dropped } }

    /// Make a frame the latest one.
    public func publish(_ value: Value) {
        slot.with { slot in
            guard !slot.isClosed else { return }
            if slot.waiting != nil { slot.dropped += 1 }
            slot.waiting = value
        }
    }

    /// Take the latest frame out, nil where there is none since the last one.
    public func take() -> Value? {
        slot.with { slot in
            defer { slot.waiting = nil }
            return slot.waiting
        }
    }

    /// Let go of what waits; frames that come later are not kept.
    public func close() {
        slot.with { slot in
            slot.isClosed = true
            slot.waiting = nil
        }
    }
}
