import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// The beginning of an answer: its status, and its headers by lower-case name.
public struct HttpHead: Equatable, Sendable {
    public let status: Int
    public let headers: [String: String]

    public init(status: Int, headers: [String: String]) {
        self.status = status
        self.headers = headers
    }
}

/// An answer whose body arrives in pieces.
public struct HttpStream: Sendable {
    public let head: HttpHead
    public let pieces: AsyncThrowingStream<Data, any Error>

    public init(head: HttpHead, pieces: AsyncThrowingStream<Data, any Error>) {
        self.head = head
        self.pieces = pieces
    }
}

/// What a download needs of HTTP; a test answers from memory.
public protocol Http: Sendable {
    /// Get a resource and return as soon as the head of the answer is there; redirects are not followed.
    func get(_ url: URL, headers: [String: String]) async throws -> HttpStream
}

/// HTTP over URLSession, without cache, cookies and redirects.
public final class UrlSessionHttp: Http {
    public init() {}

    public func get(_ url: URL, headers: [String: String]) async throws -> HttpStream {
        var request = URLRequest(url: url)
        request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")  // a length is then the file's
        for (name, value) in headers {
            request.setValue(value, forHTTPHeaderField: name)
        }
        let reader = StreamReader()
        let session = URLSession(configuration: quietConfiguration(), delegate: reader, delegateQueue: nil)
        let task = session.dataTask(with: request)
        reader.stream.onFinish { task.cancel() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                reader.begin(continuation)
                task.resume()
                session.finishTasksAndInvalidate()
            }
        } onCancel: {
            task.cancel()
        }
    }
}

/// Return a configuration that keeps nothing and sends nothing of its own accord.
func quietConfiguration() -> URLSessionConfiguration {
    let configuration = URLSessionConfiguration.ephemeral
    configuration.urlCache = nil
    configuration.httpCookieStorage = nil
    configuration.httpShouldSetCookies = false
    configuration.requestCachePolicy = .reloadIgnoringLocalCacheData
    #if canImport(Darwin)
    configuration.tlsMinimumSupportedProtocolVersion = .TLSv12
    configuration.waitsForConnectivity = false
    #endif
    return configuration
}

/// Return a response's status and headers; nil for what is no HTTP.
func httpHead(_ response: URLResponse) -> HttpHead? {
    guard let http = response as? HTTPURLResponse else { return nil }
    var headers: [String: String] = [:]
    for (name, value) in http.allHeaderFields {
        headers[String(describing: name).lowercased()] = String(describing: value)
    }
    return HttpHead(status: http.statusCode, headers: headers)
}

/// A stream and its writing end.
private struct PieceStream: Sendable {
    let pieces: AsyncThrowingStream<Data, any Error>
    let end: AsyncThrowingStream<Data, any Error>.Continuation

    init() {
        (pieces, end) = AsyncThrowingStream.makeStream(of: Data.self, throwing: (any Error).self)
    }

    /// Call a function when nobody reads any more.
    func onFinish(_ action: @escaping @Sendable () -> Void) {
        end.onTermination = { _ in action() }
    }
}

/// The delegate of one request: hands the head to whoever waits for it, and the body to the stream.
private final class StreamReader: NSObject, URLSessionDataDelegate, @unchecked Sendable {
    let stream = PieceStream()
    private let lock = NSLock()
    private var waiting: CheckedContinuation<HttpStream, any Error>?

    func begin(_ continuation: CheckedContinuation<HttpStream, any Error>) {
        lock.withLock { waiting = continuation }
    }

    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest, completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }

    func urlSession(
        _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
        completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
    ) {
        guard let head = httpHead(response) else {
            completionHandler(.cancel)
            return
        }
        settle(.success(HttpStream(head: head, pieces: stream.pieces)))
        completionHandler(.allow)
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        stream.end.yield(data)
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        settle(.failure(error ?? URLError(.badServerResponse)))
        if let error {
            stream.end.finish(throwing: error)
        } else {
            stream.end.finish()
        }
    }

    /// Answer whoever waits, once.
    private func settle(_ result: Result<HttpStream, any Error>) {
        let continuation = lock.withLock {
            let found = waiting
            waiting = nil
            return found
        }
        continuation?.resume(with: result)
    }
}
