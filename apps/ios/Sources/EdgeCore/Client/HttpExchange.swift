import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// One request on its way through URLSession: what came back, and who waits for it.
final class HttpExchange: Sendable {
    private struct Kept {
        var waiting: CheckedContinuation<Reply, any Error>?
        var done: Result<Reply, any Error>?  // before anybody waited
        var head: HttpHead?
        var limiter: BodyLimiter?
        var refusal: (any Error)?
    }

    private let server: String
    private let limitBytes: Int
    private let wire: Wire
    private let kept = Locked(Kept())

    init(_ server: String, limitBytes: Int, wire: Wire) {
        self.server = server
        self.limitBytes = limitBytes
        self.wire = wire
    }

    func run(_ task: URLSessionDataTask) async throws -> Reply {
        try Task.checkCancellation()
        wire.note { $0.connecting = nowMs() }  // whether a kept connection served is known in the end only
        return try await withCheckedThrowingContinuation { continuation in
            let done: Result<Reply, any Error>? = kept.with { kept in
                if kept.done == nil { kept.waiting = continuation }
                return kept.done
            }
            if let done {
                continuation.resume(with: done)
            } else {
                task.resume()
            }
        }
    }

    /// Say whether nothing was sent and nothing came yet; the exchange then fails as one without a connection.
    func giveUpConnecting() -> Bool {
        let moments = wire.moments
        guard moments.sending == nil, moments.head == nil, moments.ended == nil else { return false }
        return kept.with { kept in
            guard kept.refusal == nil else { return false }
            kept.refusal = Unreachable("\(server) cannot be reached in time; is the server up and the address right?")
            return true
        }
    }

    func sent(isWhole: Bool) {
        let now = nowMs()
        wire.note { moments in
            if moments.sending == nil {
                moments.sending = now
                moments.connected = moments.connected ?? now
            }
            if isWhole { moments.sent = now }
        }
    }

    /// Take the head of the answer and say whether its body is wanted.
    func receive(_ response: URLResponse) -> Bool {
        let now = nowMs()
        wire.note { moments in
            moments.head = now
            moments.sending = moments.sending ?? moments.connecting  // a request without a body tells nothing earlier
            moments.sent = moments.sent ?? moments.sending
        }
        return kept.with { kept in
            guard let head = httpHead(response) else { return false }
            if (300..<400).contains(head.status) {
                kept.refusal = ServeError(
                    .answerError, "the server redirects (\(head.status)), which is not followed; give its address"
                )
                return false
            }
            do {
                kept.limiter = try BodyLimiter(
                    limitBytes: limitBytes, contentLength: head.headers["content-length"],
                    contentEncoding: head.headers["content-encoding"]
                )
            } catch {
                kept.refusal = ServeError(.answerError, "the server's answer is not taken: \(error)")
                return false
            }
            kept.head = head
            return true
        }
    }

    /// Take a piece of the body and say whether more is wanted.
    func receive(_ data: Data) -> Bool {
        kept.with { kept in
            do {
                try kept.limiter?.feed(data)
                return true
            } catch {
                kept.refusal = ServeError(.answerError, "the server's answer is not taken: \(error)")
                return false
            }
        }
    }

    #if canImport(Darwin)
    /// Take what the system measured: durations of the wall clock, put where this clock saw the request begin.
    func measured(_ metrics: URLSessionTaskTransactionMetrics) {
        wire.note { moments in
            if metrics.isReusedConnection {
                moments.connecting = nil
                moments.connected = nil
                return
            }
            guard let began = moments.connecting else { return }
            let origin = metrics.fetchStartDate
            func place(_ date: Date?) -> Double? {
                guard let origin, let date else { return nil }
                return began + date.timeIntervalSince(origin) * 1000
            }
            moments.tcpBegan = place(metrics.connectStartDate)
            moments.tcp = place(metrics.secureConnectionStartDate ?? metrics.connectEndDate)
            moments.connected = place(metrics.connectEndDate) ?? moments.connected
        }
    }
    #endif

    func complete(_ error: (any Error)?) {
        wire.note { $0.ended = nowMs() }
        let ending = kept.with { kept in
            let found = outcome(kept, error)
            let waiting = kept.waiting
            kept.waiting = nil
            kept.done = found
            return (waiting: waiting, outcome: found)
        }
        ending.waiting?.resume(with: ending.outcome)
    }

    private func outcome(_ kept: Kept, _ error: (any Error)?) -> Result<Reply, any Error> {
        if let refusal = kept.refusal { return .failure(refusal) }
        if let error { return .failure(named(error)) }
        guard let head = kept.head, let limiter = kept.limiter else {
            return .failure(ServeError(.cut, "the connection to \(server) ended before the answer did"))
        }
        do {
            return .success(Reply(status: head.status, headers: head.headers, body: try limiter.finish()))
        } catch {
            return .failure(ServeError(.answerError, "the server's answer is not taken: \(error)"))
        }
    }

    /// Return the kit's error for one of the system's; it holds the system's words, but nothing that was sent.
    private func named(_ error: any Error) -> any Error {
        guard let failure = error as? URLError else {
            return ServeError(.cut, "the connection to \(server) ended before the answer did")
        }
        if failure.code == .cancelled { return CancellationError() }
        let why = printable(failure.localizedDescription)
        let moments = wire.moments
        if moments.sending == nil && moments.head == nil {
            return Unreachable("\(server) cannot be reached: \(why); is the server up and the address right?")
        }
        if moments.connecting == nil && moments.head == nil {
            return Unreachable("\(server) had closed the connection: \(why)")
        }
        return ServeError(.cut, "the connection to \(server) ended before the answer did: \(why)")
    }
}
