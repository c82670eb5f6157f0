import Foundation

private let firstBytesPerPixel = 0.3  // of an encoded picture, before one was measured
private let lookAgainMs = 60_000.0  // at the metadata of a server whose model did not fit
private let jsonBytes = 512  // of a request, about
private let reportedNames = ["prepare_ms", "queue_ms", "inference_ms", "total_ms"]

/// The server's side: one model of one endpoint, its metadata, its requests and their answers, and what they teach.
final class Remote: Sendable {
    private struct Kept {
        var served: Served?
        var misfit: (error: ContractError, atMs: Double)?
        var bytesPerPixel = Smoothed()
        var estimates = ServerEstimates()
        var budget = RetryBudget()
    }

    let endpoint: Endpoint
    let contract: Contract
    let breaker: Breaker
    private let policy: Policy
    private let clock: MonotonicClock
    private let transport: any Transport
    private let kept = Locked(Kept())

    init(
        _ endpoint: Endpoint, _ contract: Contract, _ policy: Policy, _ transport: any Transport,
        clock: @escaping MonotonicClock
    ) {
        self.endpoint = endpoint
        self.contract = contract
        self.policy = policy
        self.transport = transport
        self.clock = clock
        breaker = Breaker(clock)
    }

    var estimates: ServerEstimates { kept.with { $0.estimates } }

    /// Count a call that asks the server.
    func earn() {
        kept.with { $0.budget.earn() }
    }

    /// Take a retry out of the budget, and say whether there was one.
    func spend() -> Bool { kept.with { $0.budget.spend() } }

    /// Remember until when the server said that it is busy.
    func announced(_ retryAfterS: Int) {
        kept.with { $0.estimates.announced(retryAfterS: min(retryAfterS, 60), nowMs: clock()) }
    }

    /// Learn from a request that was cancelled or took too long.
    func givenUp(_ trip: Trip) {
        let wire = trip.wire.moments
        guard wire.sending != nil, wire.head == nil else { return }
        kept.with { $0.estimates.gaveUp(afterMs: nowMs() - wire.began, nowMs: clock()) }
    }

    func disconnect() async {
        await transport.disconnect()
    }

    /// Return the size of the request, estimated for a picture that is not encoded yet unless it has to be exact.
    func payloadBytes<R>(_ input: Input<R>, isExact: Bool) throws -> Int {
        guard kind(input) != .tensors, let picture = input.picture else {
            return contract.inputs.reduce(jsonBytes) { $0 + $1.count * (datatypeOf($1.dtype).size ?? 0) }
        }
        if isExact { return try picture.encoded().count + jsonBytes }
        let share = kept.with { $0.bytesPerPixel.value } ?? firstBytesPerPixel
        return Int(share * Double(picture.width * picture.height)) + jsonBytes
    }

    /// Ask once. `limitMs` is how long the client will wait, and what the server is told.
    ///
    /// Throws ServeError by the server's status, Unreachable, ContractError for a model that does not fit, Blocked
    /// above `capBytes`.
    func infer<R>(
        _ input: Input<R>, _ trip: Trip, limitMs: Double, connectMs: Double, capBytes: Int?
    ) async throws -> SideAnswer<R> {
        let ends = nowMs() + limitMs
        let served = try await look(trip, connectMs: connectMs)
        let message = try prepared(input, trip, served, ends: ends)
        if let capBytes, message.body.count > capBytes {
            throw Blocked(
                reason: .overMeteredCap,
                description: "the request has \(message.body.count) bytes; "
                    + "at most \(capBytes) go over a metered network"
            )
        }
        try Task.checkCancellation()
        trip.wire.note { $0.began = nowMs() }
        let request = HttpRequest(
            method: "POST", url: endpoint.address.appendingPathComponent("infer"),
            headers: headers(message.headers), body: message.body
        )
        let reply = try await transport.send(request, wire: trip.wire, connectMs: connectMs)
        let response = try read(reply, served)
        trip.note { $0.reported = numbers(response) }
        learn(trip)
        return try answered(input, trip, served, response)
    }

    private func kind<R>(_ input: Input<R>) -> Upload {
        let kind = input.travels(contract, policy)
        return kept.with { $0.served?.pictures ?? true } ? kind : .tensors
    }

    private func headers(_ more: [String: String]) -> [String: String] {
        var found = more
        found["User-Agent"] = "edge-deployment-kit"
        if !endpoint.token.isEmpty { found["Authorization"] = "Bearer \(endpoint.token)" }
        return found
    }

    /// Return the server's model, asked for once; the connection is kept for the request.
    private func look(_ trip: Trip, connectMs: Double) async throws -> Served {
        let (served, misfit) = kept.with { ($0.served, $0.misfit) }
        if let served { return served }
        if let misfit, clock() - misfit.atMs < lookAgainMs { throw misfit.error }
        let asked = Wire()
        trip.note { $0.asked = asked }
        let request = HttpRequest(method: "GET", url: endpoint.address, headers: headers([:]))
        let reply = try await transport.send(request, wire: asked, connectMs: connectMs)
        let moments = asked.moments
        trip.note { $0.metadataMs = nowMs() - moments.began }
        if let tcpMs = between(moments.tcpBegan, moments.tcp) {
            kept.with { $0.estimates.connected(tcpMs, nowMs: clock()) }
        }
        guard reply.status == 200 else { throw refusal(reply) }
        do {
            let found = try checkContract(try readMetadata(reply.body), contract)
            kept.with { $0.served = found }
            return found
        } catch let error as ContractError {
            kept.with { $0.misfit = (error, clock()) }
            throw error
        }
    }

    private func prepared<R>(_ input: Input<R>, _ trip: Trip, _ served: Served, ends: Double) throws -> Message {
        let began = nowMs()
        let tensors: [Tensor]
        if kind(input) != .tensors, let picture = input.picture {
            let encoded = try picture.encoded()
            let pixels = Double(picture.width * picture.height)
            kept.with { $0.bytesPerPixel.add(Double(encoded.count) / max(pixels, 1), nowMs: clock()) }
            tensors = [try pictureTensor(contract.inputs[0].name, encoded: encoded, region: picture.region)]
        } else {
            tensors = try served.tensors(try input.inputs(contract))
        }
        trip.note { $0.prepareMs = nowMs() - began }
        let wanted = served.outputs
        let outputs = wanted.count == served.metadata.outputs.count ? [] : wanted.map(\.name)
        let leftUs = max(Int(min((ends - nowMs()) * 1000, 86_400_000_000)), 1)
        let message = encodeRequest(tensors, outputs: outputs, timeoutUs: leftUs)
        trip.note { $0.payloadBytes = message.body.count }
        return message
    }

    private func read(_ reply: Reply, _ served: Served) throws -> InferResponse {
        guard reply.status == 200 else { throw refusal(reply) }
        do {
            let response = try parseResponse(
                reply.body, headerLength: reply.headers[HEADER.lowercased()], expected: served.outputs
            )
            _ = try served.arrays(response.outputs)  // a server that batches leaves the rows open; one was asked for
            return response
        } catch {
            kept.with { $0.served = nil }  // the model may have been replaced by another
            throw error
        }
    }

    private func learn(_ trip: Trip) {
        let wire = trip.wire.moments
        guard let sending = wire.sending, let sent = wire.sent, let head = wire.head else { return }
        let exchange = Exchange(
            payloadBytes: trip.known.payloadBytes, sendMs: sent - sending, waitMs: head - sent,
            serverMs: ownTime(trip.known.reported), connectMs: between(wire.tcpBegan, wire.tcp)
        )
        kept.with { $0.estimates.observe(exchange, nowMs: clock()) }
    }

    private func answered<R>(
        _ input: Input<R>, _ trip: Trip, _ served: Served, _ response: InferResponse
    ) throws -> SideAnswer<R> {
        let began = nowMs()
        let outputs = try served.arrays(response.outputs)
        let result = try input.decode(outputs, contract)
        trip.note { $0.decodeMs = nowMs() - began }
        var weights = ""
        if case .string(let found)? = response.parameters["weights_sha256"] { weights = found }
        return SideAnswer(
            side: .server, outputs: outputs, result: result, model: response.modelName,
            modelVersion: response.modelVersion, modelSha256: weights
        )
    }
}

private func refusal(_ reply: Reply) -> ServeError {
    let stated = reply.headers["retry-after"]
    let error = parseError(status: reply.status, body: reply.body, retryAfter: stated ?? "")
    guard stated == nil, error.retryAfterS != nil else { return error }
    return ServeError(error.kind, error.description, retryAfterS: 0)
}

/// Return the durations that the server reports of itself, as far as they can be true.
private func numbers(_ response: InferResponse) -> [String: Double] {
    var found: [String: Double] = [:]
    for name in reportedNames {
        guard case .number(let text)? = response.parameters[name], let value = Double(text) else { continue }
        if value >= 0 && value < 1e9 { found[name] = value }
    }
    return found
}

/// Return the server's time from the whole request to the answer: as it says, or as the sum of its parts.
private func ownTime(_ reported: [String: Double]) -> Double? {
    if let total = reported["total_ms"] { return total }
    guard let prepare = reported["prepare_ms"], let queue = reported["queue_ms"], let model = reported["inference_ms"]
    else { return nil }
    return prepare + queue + model
}
