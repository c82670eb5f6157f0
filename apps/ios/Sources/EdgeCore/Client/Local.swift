import Dispatch

private let mostWaiting = 4  // runs, with the one that computes

/// What a run returned, and how long it took without waiting; `isFirst` paid for loading and warming up.
struct LocalRun<R: Sendable>: Sendable {
    let answer: SideAnswer<R>
    let spans: Spans
    let durationMs: Double
    let isFirst: Bool
}

/// The device's side: one model on one queue, whose runs can be abandoned but not interrupted.
///
/// Runtimes cannot be stopped in the middle of an inference. A call that no longer needs its run leaves it: it is
/// counted, computes to its end, and the next run waits for it.
final class Local: @unchecked Sendable {  // a queue is safe by itself, the engine stays on it
    private struct Kept {
        var isSupported = true  // until its runtime says otherwise
        var isLoaded = false
        var waiting = 0
        var abandoned = 0  // runs that compute for nobody
    }

    /// The engine, touched on the queue only.
    private final class Opened: @unchecked Sendable {
        var engine: (any Engine)?
    }

    let side: OnDevice
    private let queue = DispatchQueue(label: "edge-client-device", qos: .userInitiated)
    private let opened = Opened()
    private let kept = Locked(Kept())

    init(_ side: OnDevice) {
        self.side = side
    }

    var isSupported: Bool { kept.with { $0.isSupported } }
    var isLoaded: Bool { kept.with { $0.isLoaded } }
    var abandoned: Int { kept.with { $0.abandoned } }

    /// Run the model; throws DeviceBusy where too many wait, and what the runtime throws.
    ///
    /// A cancelled call returns at once; `job` then says whether its run computes on.
    func run<R>(_ input: Input<R>, _ job: LocalJob<R>) async throws -> LocalRun<R> {
        try enter()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                job.wait(continuation)
                queue.async { self.compute(input, job) }
            }
        } onCancel: {
            if job.leave() { self.kept.with { $0.abandoned += 1 } }
        }
    }

    private func enter() throws {
        try kept.with { kept in
            guard kept.waiting < mostWaiting else {
                throw DeviceBusy(
                    description: "the device still runs \(kept.waiting) earlier calls, \(kept.abandoned) of them for "
                        + "nobody; call less often, or give a later deadline"
                )
            }
            kept.waiting += 1
        }
    }

    private func compute<R>(_ input: Input<R>, _ job: LocalJob<R>) {
        defer { kept.with { $0.waiting -= 1 } }
        guard job.begin() else { return }
        let result = Result { try measured(input) }
        if !job.finish(result) { kept.with { $0.abandoned -= 1 } }
    }

    private func measured<R>(_ input: Input<R>) throws -> LocalRun<R> {
        let isFirst = opened.engine == nil
        let engine = try loadedEngine()
        let began = nowMs()
        let inputs = try input.inputs(side.contract)
        let prepared = nowMs()
        let outputs = try engine.run(inputs)
        let ran = nowMs()
        let result = try input.decode(outputs, side.contract)
        let ended = nowMs()
        var spans = Spans()
        spans.prepareMs = prepared - began
        spans.inferenceMs = ran - prepared
        spans.decodeMs = ended - ran
        let answer = SideAnswer(
            side: .device, outputs: outputs, result: result, model: side.model, modelVersion: "",
            modelSha256: side.modelSha256
        )
        return LocalRun(answer: answer, spans: spans, durationMs: ended - began, isFirst: isFirst)
    }

    private func loadedEngine() throws -> any Engine {
        if let engine = opened.engine { return engine }
        do {
            let engine = try side.open()
            opened.engine = engine
            kept.with { $0.isLoaded = true }
            return engine
        } catch let error as EngineUnsupported {
            kept.with { $0.isSupported = false }
            throw error
        }
    }
}

/// One run of the device, and who waits for it.
final class LocalJob<R: Sendable>: Sendable {
    private enum Stage {
        case queued, running, left, finished
    }

    private struct Kept {
        var stage = Stage.queued
        var waiting: CheckedContinuation<LocalRun<R>, any Error>?
        var isAbandoned = false
    }

    private let kept = Locked(Kept())

    /// Say whether the run computes on for nobody.
    var isAbandoned: Bool { kept.with { $0.isAbandoned } }

    func wait(_ continuation: CheckedContinuation<LocalRun<R>, any Error>) {
        let isLeft = kept.with { kept in
            if kept.stage != .left { kept.waiting = continuation }
            return kept.stage == .left
        }
        if isLeft { continuation.resume(throwing: CancellationError()) }
    }

    /// Begin to compute, unless nobody waits any more.
    func begin() -> Bool {
        kept.with { kept in
            guard kept.stage == .queued else { return false }
            kept.stage = .running
            return true
        }
    }

    /// Give the result to whoever waits, and say whether anybody did.
    func finish(_ result: Result<LocalRun<R>, any Error>) -> Bool {
        let waiting = kept.with { kept in
            let found = kept.waiting
            kept.waiting = nil
            kept.stage = .finished
            return found
        }
        waiting?.resume(with: result)
        return waiting != nil
    }

    /// Wait no longer, and say whether the run computes on.
    func leave() -> Bool {
        let leaving = kept.with { kept in
            let found = kept.waiting
            let isRunning = kept.stage == .running
            kept.waiting = nil
            if kept.stage == .queued { kept.stage = .left }
            if isRunning { kept.isAbandoned = true }
            return (waiting: found, isRunning: isRunning)
        }
        leaving.waiting?.resume(throwing: CancellationError())
        return leaving.isRunning
    }
}
