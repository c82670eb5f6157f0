/// Say how long a picture took in nanoseconds, kept apart: preprocessing, the model, decoding and drawing.
public struct StageTimes: Equatable, Sendable {
    public let preNs: UInt64
    public let inferenceNs: UInt64
    public let postNs: UInt64

    public init(preNs: UInt64, inferenceNs: UInt64, postNs: UInt64) {
        self.preNs = preNs
        self.inferenceNs = inferenceNs
        self.postNs = postNs
    }

    public var totalNs: UInt64 { preNs + inferenceNs + postNs }
}

/// Keep the times of the last `window` pictures. Any threads.
public final class Times: Sendable {
    private struct Kept {
        var times: [StageTimes] = []
        var added = 0
    }

    private let window: Int
    private let kept = Locked(Kept())

    public init(window: Int = 64) {
        self.window = max(window, 1)
    }

    /// How many pictures there were, those that are no longer kept included.
    public var count: Int { kept.with { $0.added } }

    /// Take one picture's times in, in nanoseconds of a monotonic clock.
    public func add(_ times: StageTimes) {
        kept.with { kept in
            if kept.times.count < window {
                kept.times.append(times)
            } else {
                kept.times[kept.added % window] = times
            }
            kept.added += 1
        }
    }

    /// Return each stage's own median, the lower one of an even number; nil before the first picture.
    public func medians() -> StageTimes? {
        let times = kept.with { $0.times }
        guard !times.isEmpty else { return nil }
        return StageTimes(
            preNs: median(times.map(\.preNs)),
            inferenceNs: median(times.map(\.inferenceNs)),
            postNs: median(times.map(\.postNs))
        )
    }

    /// Forget everything, as for another model.
    public func reset() {
        kept.with { $0 = Kept() }
    }

    private func median(_ values: [UInt64]) -> UInt64 { values.sorted()[(values.count - 1) / 2] }
}
