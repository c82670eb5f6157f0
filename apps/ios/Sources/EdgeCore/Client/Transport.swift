import Foundation

/// One request; what it holds is never shown.
public struct HttpRequest: Sendable {
    public let method: String
    public let url: URL
    public let headers: [String: String]
    public let body: [UInt8]

    public init(method: String, url: URL, headers: [String: String] = [:], body: [UInt8] = []) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
    }
}

/// An answer: its status, its headers by lower-case name, its body.
public struct Reply: Sendable {
    public let status: Int
    public let headers: [String: String]
    public let body: [UInt8]

    public init(status: Int, headers: [String: String] = [:], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Connections to one endpoint; a test answers from memory. Nothing is opened before the first request.
public protocol Transport: Sendable {
    /// Return the answer, bounded in size and not redirected; a cancelled request closes its connection.
    ///
    /// Throws Unreachable without a connection, and ServeError: `cut` or `answerError`.
    func send(_ request: HttpRequest, wire: Wire, connectMs: Double) async throws -> Reply

    /// Close every connection; a later request opens another.
    func disconnect() async
}
