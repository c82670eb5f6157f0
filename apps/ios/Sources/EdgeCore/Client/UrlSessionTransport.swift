import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Requests over URLSession: no cache, no cookies, no proxy, no redirect, TLS 1.2 at least.
public final class UrlSessionTransport: Transport {
    private let session = Locked<Connections?>(nil)
    private let limits: Limits

    public init(limits: Limits = Limits()) {
        self.limits = limits
    }

    public func send(_ request: HttpRequest, wire: Wire, connectMs: Double) async throws -> Reply {
        let connections = session.with { session in
            let found = session ?? Connections()
            session = found
            return found
        }
        let exchange = HttpExchange(request.url.host ?? "the server", limitBytes: limits.bodyBytes, wire: wire)
        let task = connections.task(for: request, exchange)
        let isPatient = Task {
            try await sleep(ms: connectMs)
            if exchange.giveUpConnecting() { task.cancel() }
        }
        defer { isPatient.cancel() }
        return try await withTaskCancellationHandler {
            try await exchange.run(task)
        } onCancel: {
            task.cancel()
        }
    }

    public func disconnect() async {
        let found = session.with { session in
            defer { session = nil }
            return session
        }
        found?.close()
    }
}

/// A session, and the exchanges of its tasks.
private final class Connections: NSObject, URLSessionDataDelegate, @unchecked Sendable {
    private let exchanges = Locked<[Int: HttpExchange]>([:])
    private let session = Locked<URLSession?>(nil)

    func task(for request: HttpRequest, _ exchange: HttpExchange) -> URLSessionDataTask {
        var found = URLRequest(url: request.url)
        found.httpMethod = request.method
        found.httpBody = request.body.isEmpty ? nil : Data(request.body)
        found.timeoutInterval = 3600  // the runner's own limits are shorter
        found.setValue("identity", forHTTPHeaderField: "Accept-Encoding")
        for (name, value) in request.headers {
            found.setValue(value, forHTTPHeaderField: name)
        }
        let task = opened().dataTask(with: found)
        exchanges.with { $0[task.taskIdentifier] = exchange }
        return task
    }

    func close() {
        session.with { $0 }?.invalidateAndCancel()
    }

    private func opened() -> URLSession {
        session.with { session in
            if let found = session { return found }
            let configuration = quietConfiguration()
            configuration.httpMaximumConnectionsPerHost = 8
            #if canImport(Darwin)
            configuration.connectionProxyDictionary = [:]
            #endif
            let found = URLSession(configuration: configuration, delegate: self, delegateQueue: nil)
            session = found
            return found
        }
    }

    private func exchange(of task: URLSessionTask) -> HttpExchange? { exchanges.with { $0[task.taskIdentifier] } }

    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest, completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) {
        completionHandler(nil)  // the redirection itself is then the answer
    }

    func urlSession(
        _ session: URLSession, task: URLSessionTask, didSendBodyData bytesSent: Int64, totalBytesSent: Int64,
        totalBytesExpectedToSend: Int64
    ) {
        exchange(of: task)?.sent(isWhole: totalBytesSent >= totalBytesExpectedToSend)
    }

    func urlSession(
        _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
        completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
    ) {
        let isTaken = exchange(of: dataTask)?.receive(response) ?? false
        completionHandler(isTaken ? .allow : .cancel)
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        if exchange(of: dataTask)?.receive(data) != true { dataTask.cancel() }
    }

    #if canImport(Darwin)
    func urlSession(
        _ session: URLSession, task: URLSessionTask, didFinishCollecting metrics: URLSessionTaskMetrics
    ) {
        if let found = metrics.transactionMetrics.last { exchange(of: task)?.measured(found) }
    }
    #endif

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        exchanges.with { $0.removeValue(forKey: task.taskIdentifier) }?.complete(error)
    }

    func urlSession(_ session: URLSession, didBecomeInvalidWithError error: (any Error)?) {
        let left = exchanges.with { exchanges in
            defer { exchanges = [:] }
            return Array(exchanges.values)
        }
        for exchange in left {
            exchange.complete(error ?? URLError(.cancelled))
        }
        self.session.with { $0 = nil }
    }
}
