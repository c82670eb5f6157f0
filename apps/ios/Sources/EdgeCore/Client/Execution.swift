private let tidyMs = 250.0  // for a side that lost to close its connection, before the answer is returned without it

/// One call on its way: the side that was decided on, its hedge, its fallback, and the first answer. docs/client.md.
///
/// Times are milliseconds of `nowMs`.
final class Execution<R: Sendable>: Sendable {
    private enum Event: Sendable {
        case ended(Side, Result<SideAnswer<R>, any Error>)
        case hedge
        case deadline
        case tidied
    }

    private struct Kept {
        var attempts: [Attempt] = []
        var tasks: [Side: Task<Void, Never>] = [:]
        var ended: Set<Side> = []
        var lastError: (any Error)?
    }

    typealias Start = @Sendable (Side) async throws -> SideAnswer<R>

    let decision: Decision
    let deadlineMs: Double?  // left when it was decided
    let began: Double  // when the caller called
    let decided: Double
    private let kept = Locked(Kept())

    init(_ decision: Decision, deadlineMs: Double?, began: Double) {
        self.decision = decision
        self.deadlineMs = deadlineMs
        self.began = began
        decided = nowMs()
    }

    /// When the call fails; nil without a deadline.
    var ends: Double? { deadlineMs.map { decided + $0 } }

    var attempts: [Attempt] { kept.with { $0.attempts.sorted { $0.beganMs < $1.beganMs } } }

    /// Say whether the device can still answer this call.
    var isDeviceOpen: Bool {
        kept.with { kept in
            kept.tasks[.device] == nil ? decision.fallback == .device : !kept.ended.contains(.device)
        }
    }

    func record(_ attempt: Attempt) {
        kept.with { $0.attempts.append(attempt) }
    }

    /// Cancel the request that is on its way, and return when its connection is closed.
    func cancelServer() async {
        let task = kept.with { $0.tasks[.server] }
        task?.cancel()
        await task?.value
    }

    /// Return the first answer of any side; throws CallFailed or DeadlineMissed, and leaves nothing waiting.
    func run(_ start: @escaping Start) async throws -> SideAnswer<R> {
        guard let first = decision.runOn else { throw failure() }
        let (events, post) = AsyncStream.makeStream(of: Event.self)
        let timers = self.timers(post)
        defer {
            for timer in timers { timer.cancel() }
            for task in kept.with({ Array($0.tasks.values) }) { task.cancel() }
        }
        begin(first, start, post)
        do {
            let answer = try await firstAnswer(events, start, post)
            await tidy(events, post)
            return answer
        } catch {
            await tidy(events, post)
            throw named(error)
        }
    }

    private func firstAnswer(
        _ events: AsyncStream<Event>, _ start: @escaping Start, _ post: AsyncStream<Event>.Continuation
    ) async throws -> SideAnswer<R> {
        for await event in events {
            switch event {
            case .ended(_, .success(let answer)):
                return answer
            case .ended(_, .failure(let error)):
                remember(error)
                if !beginFallback(start, post) && !isAnyRunning { throw failure() }
            case .hedge:
                _ = beginFallback(start, post)
            case .deadline:
                throw missed()
            case .tidied:
                break
            }
        }
        throw CancellationError()  // of the caller: the stream has ended
    }

    /// Post when the device has to start beside the server, and when the call fails.
    private func timers(_ post: AsyncStream<Event>.Continuation) -> [Task<Void, Never>] {
        var timers: [Task<Void, Never>] = []
        if let hedgeMs = decision.hedgeAfterMs { timers.append(timer(hedgeMs, .hedge, post)) }
        if let deadlineMs { timers.append(timer(deadlineMs, .deadline, post)) }
        return timers
    }

    private func timer(
        _ afterMs: Double, _ event: Event, _ post: AsyncStream<Event>.Continuation
    ) -> Task<Void, Never> {
        Task {
            try? await sleep(ms: afterMs)
            if !Task.isCancelled { post.yield(event) }
        }
    }

    private func begin(_ side: Side, _ start: @escaping Start, _ post: AsyncStream<Event>.Continuation) {
        let task = Task { [self] in
            let result: Result<SideAnswer<R>, any Error>
            do {
                result = .success(try await start(side))
            } catch {
                result = .failure(error)
            }
            kept.with { _ = $0.ended.insert(side) }
            post.yield(.ended(side, result))
        }
        kept.with { $0.tasks[side] = task }
    }

    /// Start the other side unless it has been, and say whether it was started now.
    private func beginFallback(_ start: @escaping Start, _ post: AsyncStream<Event>.Continuation) -> Bool {
        guard let side = decision.fallback, kept.with({ $0.tasks[side] == nil }) else { return false }
        begin(side, start, post)
        return true
    }

    private var isAnyRunning: Bool { kept.with { kept in kept.tasks.keys.contains { !kept.ended.contains($0) } } }

    /// Cancel what lost, and wait a little so that it says how far it came.
    private func tidy(_ events: AsyncStream<Event>, _ post: AsyncStream<Event>.Continuation) async {
        for task in kept.with({ Array($0.tasks.values) }) { task.cancel() }
        guard isAnyRunning else { return }
        let timer = Task {
            try? await sleep(ms: tidyMs)
            post.yield(.tidied)
        }
        defer { timer.cancel() }
        for await event in events {
            if case .tidied = event { return }
            if !isAnyRunning { return }
        }
    }

    /// Keep a side's error; a request that was cancelled on its way was so because consent was withdrawn.
    private func remember(_ error: any Error) {
        var cause = error
        if isCancellation(error) {
            cause = Blocked(
                reason: .consentDenied, description: "consent was withdrawn while the request was on its way"
            )
        }
        let found = cause
        kept.with { $0.lastError = found }
    }

    /// Return the error with the attempts that are known by now.
    private func named(_ error: any Error) -> any Error {
        switch error {
        case is DeadlineMissed: return missed()
        case is CallFailed: return failure()
        default: return error
        }
    }

    private func failure() -> any Error {
        let last = kept.with { $0.lastError }
        if let error = last as? ServeError, error.kind == .deadlinePassed { return missed() }
        let tried = attempts.map { "\($0.side.rawValue): \($0.error.isEmpty ? $0.outcome.rawValue : $0.error)" }
        return CallFailed(
            description: "no side answered: \(tried.joined(separator: "; "))", decision: decision, attempts: attempts,
            cause: last
        )
    }

    private func missed() -> DeadlineMissed {
        let (last, sides) = kept.with { ($0.lastError, $0.tasks.keys.map(\.rawValue).sorted()) }
        let limit = deadlineMs ?? decision.timeoutMs ?? 0
        let tried = sides.isEmpty ? "no side" : sides.joined(separator: " and ")
        return DeadlineMissed(
            description: "no answer within \(Int(limit)) ms; tried: \(tried)", decision: decision, attempts: attempts,
            cause: last
        )
    }
}

func isCancellation(_ error: any Error) -> Bool { error is CancellationError }
