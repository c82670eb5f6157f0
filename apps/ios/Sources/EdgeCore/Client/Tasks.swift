/// The device's attempt within one call.
struct DeviceTask<R: Sendable>: Sendable {
    let local: Local
    let estimates: Locked<DeviceEstimates>
    let input: Input<R>
    let call: Call
    let execution: Execution<R>
    let clock: MonotonicClock

    /// Run the model; what a cancelled call leaves behind computes to its end.
    func run() async throws -> SideAnswer<R> {
        let began = nowMs()
        let job = LocalJob<R>()
        do {
            let run = try await local.run(input, job)
            if !run.isFirst {
                estimates.with { $0.observe(run.durationMs, nowMs: clock(), isCool: isCool) }
            }
            record(began, .answered, "", run.spans)
            return run.answer
        } catch {
            let ended: Outcome = job.isAbandoned ? .abandoned : outcome(error)
            record(began, ended, said(error), Spans())
            throw error
        }
    }

    private var isCool: Bool { !CallView(call).isHot && call.device.thermal != .moderate }

    private func record(_ began: Double, _ outcome: Outcome, _ error: String, _ spans: Spans) {
        execution.record(
            Attempt(
                side: .device, outcome: outcome, beganMs: began - execution.began,
                endedMs: nowMs() - execution.began, spans: spans, error: error, sent: false, payloadBytes: 0
            )
        )
    }
}

/// The server's attempts within one call: their limits, their retry, and the record that each leaves.
struct ServerTask<R: Sendable>: Sendable {
    let remote: Remote
    let input: Input<R>
    let call: Call
    let execution: Execution<R>
    let random: @Sendable () -> Double
    let closedGate: @Sendable () -> Reason?  // a gate that closed since the decision, nil if none did

    /// Ask the server, and once more where nothing else can answer and the budget and the time allow it.
    func run() async throws -> SideAnswer<R> {
        let ends = serverEnds
        remote.earn()
        do {
            return try await ask(ends)
        } catch {
            guard let delay = retryDelay(error, leftMs: ends - nowMs()) else { throw error }
            try await sleep(ms: delay)
        }
        return try await ask(ends)
    }

    /// When the server's time is over, in milliseconds of `nowMs`.
    private var serverEnds: Double {
        guard execution.decision.runOn == .server else { return execution.ends ?? nowMs() + SERVER_TIMEOUT_MS }
        let limit = serverLimitMs(execution.decision, deadlineMs: execution.deadlineMs)
        return execution.decided + (limit ?? SERVER_TIMEOUT_MS)
    }

    /// Return how long to wait before a retry, nil for no retry: the device takes over for nothing where it can.
    private func retryDelay(_ error: any Error, leftMs: Double) -> Double? {
        let busy = (error as? ServeError).flatMap { $0.kind == .busy ? $0 : nil }
        guard error is Unreachable || busy != nil, !execution.isDeviceOpen else { return nil }
        let named = busy?.retryAfterS.flatMap { $0 > 0 ? $0 : nil }
        let delay = retryDelayMs(retryAfterS: named, random: random)
        let fits = leavesTime(delayMs: delay, expectedMs: execution.decision.serverMs, leftMs: leftMs)
        return fits && remote.spend() ? delay : nil
    }

    private func ask(_ ends: Double) async throws -> SideAnswer<R> {
        let began = nowMs()
        let trip = Trip()
        var admission: Admission?
        do {
            let admitted = try admit()
            admission = admitted
            let answer = try await asked(trip, ends)
            admitted.settle(.succeeded)
            record(began, .answered, "", trip)
            return answer
        } catch {
            if let error = error as? ServeError, let seconds = error.retryAfterS { remote.announced(seconds) }
            remote.givenUp(trip)
            admission?.settle(trip.isTried ? verdict(error) : .undecided)
            record(began, outcome(error), said(error), trip)
            throw error
        }
    }

    /// Ask within the time that is left; after it the connection is closed and `deadlinePassed` is thrown.
    private func asked(_ trip: Trip, _ ends: Double) async throws -> SideAnswer<R> {
        let leftMs = ends - nowMs()
        guard leftMs > 0 else { throw ServeError(.deadlinePassed, "no time was left to ask the server") }
        let cap = call.network.metered == false ? nil : call.meteredCapBytes
        let connectMs = connectLimitMs(leftMs: leftMs, hasSpare: execution.isDeviceOpen)
        let late = ServeError(.deadlinePassed, "the server did not answer within \(Int(leftMs)) ms")
        let remote = self.remote
        let input = self.input
        return try await within(ms: leftMs, late: late) {
            try await remote.infer(input, trip, limitMs: leftMs, connectMs: connectMs, capBytes: cap)
        }
    }

    private func admit() throws -> Admission {
        if let reason = closedGate() {
            throw Blocked(reason: reason, description: "nothing was sent: \(reason.rawValue)")
        }
        guard let admission = remote.breaker.admit() else {
            throw Blocked(
                reason: .breakerOpen,
                description: "\(remote.endpoint.url) failed too often and is left alone for a while"
            )
        }
        return admission
    }

    private func record(_ began: Double, _ outcome: Outcome, _ error: String, _ trip: Trip) {
        execution.record(
            Attempt(
                side: .server, outcome: outcome, beganMs: began - execution.began,
                endedMs: nowMs() - execution.began, spans: trip.spans(), error: error, sent: trip.isSent,
                payloadBytes: trip.known.payloadBytes
            )
        )
    }
}

/// Return what an error says about the server's health: a refusal of this request is a sign of life.
func verdict(_ error: any Error) -> Health {
    if error is Unreachable { return .failed }
    guard let error = error as? ServeError else { return .undecided }
    if error.kind == .tooManyRequests { return .undecided }
    return error.kind.isRefusal ? .succeeded : .failed
}

private func outcome(_ error: any Error) -> Outcome {
    if isCancellation(error) { return .cancelled }
    if error is Blocked { return .notSent }
    if let error = error as? ServeError, error.kind == .deadlinePassed { return .timedOut }
    return .failed
}

/// Return an error's first line.
private func said(_ error: any Error) -> String {
    if isCancellation(error) { return "" }
    return String(String(describing: error).prefix { !$0.isNewline })
}
