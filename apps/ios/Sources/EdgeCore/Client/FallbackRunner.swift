private let keptMs = 1_000.0  // for which what a provider said holds

/// A model on the device, a model on a server, and the policy between them; docs/client.md specifies what happens.
///
/// `local` nil has no device's side; `endpoint` nil no server's. `contract` is that of the server's model, where it is
/// another than the device's. `device` and `network` say how things are now and are asked at most once a second; one
/// that throws knows nothing. `clock` is in milliseconds and never goes back.
///
/// Consent is unset, which is denied, until the app sets to what its user said. Any threads.
public final class FallbackRunner: Sendable {
    public let policy: Policy
    private let local: Local?
    private let remote: Remote?
    private let profiled: Profiled
    private let clock: MonotonicClock
    private let random: @Sendable () -> Double
    private let device: Provided<Device>
    private let network: Provided<Network>
    private let estimates: Locked<DeviceEstimates>
    private let states = Locked<[Mode: PolicyState]>([:])
    private let said = Locked(Consent.unset)
    private let executions = Locked<[ObjectIdentifier: @Sendable () async -> Void]>([:])

    /// Throw ContractError for an endpoint without any contract.
    public init(
        local: OnDevice?,
        endpoint: Endpoint? = nil,
        policy: Policy = Policy(),
        contract: Contract? = nil,
        transport: (any Transport)? = nil,
        device: @escaping @Sendable () throws -> Device = { Device() },
        network: (@Sendable () throws -> Network)? = nil,
        clock: @escaping MonotonicClock = nowMs,
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) throws {
        self.policy = policy
        self.clock = clock
        self.random = random
        self.local = local.map { Local($0) }
        let figures = local?.profiled ?? Profiled()
        profiled = figures
        estimates = Locked(DeviceEstimates(profiledP90Ms: figures.p90Ms))
        self.device = Provided(Device(), clock, device)
        let isLocal = endpoint?.local ?? false
        if let network {
            self.network = Provided(Network(), clock, network)
        } else {
            self.network = Provided(Network(), clock) { networkTo(isLocal: isLocal) }
        }
        if let endpoint {
            guard let served = contract ?? local?.contract else {
                throw ContractError(
                    "\(endpoint.model): without a model on the device, give the contract of the server's"
                )
            }
            remote = Remote(endpoint, served, policy, transport ?? UrlSessionTransport(), clock: clock)
        } else {
            remote = nil
        }
    }

    /// What the user said to uploads.
    public var consent: Consent { said.with { $0 } }

    /// How many device runs compute for calls that no longer need them.
    public var abandoned: Int { local?.abandoned ?? 0 }

    /// Set what the user said to uploads; taken back, requests on their way are cancelled and connections closed before
    /// this returns. Nothing is sent from the moment that it is called.
    public func setConsent(_ consent: Consent) async {
        said.with { $0 = consent }
        if consent != .granted { await withdraw() }
    }

    /// Close every connection; consent is unset from then on.
    public func close() async {
        await setConsent(.unset)
    }

    /// Run the model once; what is not given is the policy's.
    ///
    /// `isPunctual` fails at once where the policy expects to miss the deadline. Throws Unavailable, CallFailed,
    /// DeadlineMissed; ContractError for an input that does not fit; CancellationError, having cancelled everything.
    public func call<R>(
        _ input: Input<R>,
        deadlineMs: Double? = nil,
        dataClass: DataClass? = nil,
        mode: Mode? = nil,
        isPunctual: Bool = false
    ) async throws -> Answer<R> {
        let began = nowMs()
        var asked = Call()
        asked.mode = mode ?? policy.mode
        asked.consent = consent
        asked.dataClass = dataClass ?? policy.dataClass
        asked.meteredCapBytes = policy.meteredCapBytes
        asked.deadlineMs = deadlineMs ?? policy.deadlineMs
        asked.device = device.read()
        asked.network = network.read()
        try asked.check()
        if input.picture == nil, let local { _ = try input.inputs(local.side.contract) }
        let (call, decision) = try decided(asked, input, began: began)
        if decision.runOn == nil || (isPunctual && decision.deadlineMissExpected) { throw unavailable(decision) }
        let execution = Execution<R>(decision, deadlineMs: call.deadlineMs, began: began)
        let id = ObjectIdentifier(execution)
        executions.with { $0[id] = { await execution.cancelServer() } }
        defer { executions.with { _ = $0.removeValue(forKey: id) } }
        let found = try await execution.run { [self] side in
            try await run(side, input, call, execution)
        }
        return answer(found, execution)
    }

    private func run<R>(
        _ side: Side, _ input: Input<R>, _ call: Call, _ execution: Execution<R>
    ) async throws -> SideAnswer<R> {
        switch side {
        case .device:
            guard let local else { throw EngineUnsupported("there is no model on the device") }
            return try await DeviceTask(
                local: local, estimates: estimates, input: input, call: call, execution: execution, clock: clock
            ).run()
        case .server:
            guard let remote else { throw Unreachable("there is no endpoint") }
            return try await ServerTask(
                remote: remote, input: input, call: call, execution: execution, random: random,
                closedGate: { [said] in closedGate(said.with { $0 }) }
            ).run()
        }
    }

    private func withdraw() async {
        for cancel in executions.with({ Array($0.values) }) {
            await cancel()
        }
        await remote?.disconnect()
    }

    /// Ask the policy; a picture is encoded before that only where its estimated size would close the server.
    private func decided<R>(_ asked: Call, _ input: Input<R>, began: Double) throws -> (Call, Decision) {
        guard let remote else { return settled(known(asked, payloadBytes: 0), began: began) }
        let call = known(asked, payloadBytes: try remote.payloadBytes(input, isExact: false))
        let state = states.with { $0[call.mode] ?? PolicyState() }
        let first = decide(call, state, nowMs: Int(clock())).decision
        guard first.serverBlocked == .overMeteredCap else { return settled(call, began: began) }
        let exact = try remote.payloadBytes(input, isExact: true)
        return settled(known(asked, payloadBytes: exact), began: began)
    }

    /// Decide with the time that is left and the consent of this moment.
    private func settled(_ given: Call, began: Double) -> (Call, Decision) {
        var call = given
        call.deadlineMs = given.deadlineMs.map { max($0 - (nowMs() - began), 0) }
        call.consent = consent
        let settledCall = call
        let decision = states.with { states in
            let before = states[settledCall.mode] ?? PolicyState()
            let (decision, after) = decide(settledCall, before, nowMs: Int(clock()))
            states[settledCall.mode] = after
            return decision
        }
        return (settledCall, decision)
    }

    /// Return the call with what is known of both sides now; what the app says of the network counts first.
    private func known(_ asked: Call, payloadBytes: Int) -> Call {
        let now = clock()
        var call = asked
        call.model = model(now)
        guard let remote else { return call }
        let estimates = remote.estimates
        call.payloadBytes = payloadBytes
        call.network.rttMs = call.network.rttMs ?? estimates.rttMs.value
        let uplink = estimates.uplinkBitsPerS(payloadBytes: payloadBytes)
        call.network.uplinkBitsPerS = call.network.uplinkBitsPerS ?? uplink
        call.server.configured = true
        call.server.breaker = remote.breaker.state
        call.server.p90Ms = estimates.times.quantile(0.9, nowMs: now)
        call.server.p95Ms = estimates.times.quantile(0.95, nowMs: now)
        call.server.queueMs = estimates.queueMs(nowMs: now)
        return call
    }

    private func model(_ now: Double) -> Model {
        var model = Model()
        guard let local else {
            model.present = false
            return model
        }
        model.present = local.side.isPresent()
        model.supported = local.isSupported
        model.peakBytes = local.isLoaded ? 0 : profiled.peakBytes
        model.p90Ms = estimates.with { $0.p90Ms(nowMs: now) }
        model.sustainedRatio = profiled.sustainedRatio
        return model
    }
}

/// What a provider said, asked at most once a second; one that throws knows nothing.
private final class Provided<Value: Sendable>: Sendable {
    private let nothing: Value
    private let clock: MonotonicClock
    private let ask: @Sendable () throws -> Value
    private let kept = Locked<(value: Value, atMs: Double)?>(nil)

    init(_ nothing: Value, _ clock: @escaping MonotonicClock, _ ask: @escaping @Sendable () throws -> Value) {
        self.nothing = nothing
        self.clock = clock
        self.ask = ask
    }

    func read() -> Value {
        let now = clock()
        if let found = kept.with({ $0 }), now - found.atMs < keptMs { return found.value }
        let value = (try? ask()) ?? nothing
        kept.with { $0 = (value, now) }
        return value
    }
}

private func networkTo(isLocal: Bool) -> Network {
    var network = Network()
    network.online = isLocal
    network.metered = isLocal ? false : nil
    return network
}

private func closedGate(_ consent: Consent) -> Reason? {
    switch consent {
    case .granted: return nil
    case .denied: return .consentDenied
    case .unset: return .consentUnset
    }
}

private func unavailable(_ decision: Decision) -> any Error {
    if decision.reason == .deadlinePassed {
        let text = "the deadline had passed before the call began"
        return DeadlineMissed(description: text, decision: decision, attempts: [], cause: nil)
    }
    if decision.runOn != nil {
        let text = "the policy expects no answer before the deadline"
        return DeadlineMissed(description: text, decision: decision, attempts: [], cause: nil)
    }
    let device = decision.deviceBlocked?.rawValue ?? "open"
    let server = decision.serverBlocked?.rawValue ?? "open"
    return Unavailable(
        description: "the model may run nowhere (device: \(device), server: \(server)); "
            + "docs/policy.md lists the reasons",
        decision: decision
    )
}

private func answer<R>(_ found: SideAnswer<R>, _ execution: Execution<R>) -> Answer<R> {
    Answer(
        result: found.result, outputs: found.outputs, ranOn: found.side, reason: execution.decision.reason,
        decision: execution.decision, attempts: execution.attempts, model: found.model,
        modelVersion: found.modelVersion, modelSha256: found.modelSha256, totalMs: nowMs() - execution.began
    )
}
