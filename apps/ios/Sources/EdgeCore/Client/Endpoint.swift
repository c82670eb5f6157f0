import Foundation

/// Report an endpoint that is no address, or not a safe one.
public struct EndpointError: Error, Equatable, CustomStringConvertible {
    public let description: String
}

/// Name a model on a server.
///
/// `token` goes as a bearer token. TLS is verified against the system's authorities. Plain HTTP is refused except to
/// this machine; `plainHttp` allows it on networks that encrypt by themselves. No proxy is used.
public struct Endpoint: Equatable, Sendable, CustomStringConvertible {
    public let url: String
    public let model: String
    public let version: String
    public let plainHttp: Bool
    public let address: URL  // of the model
    public let local: Bool  // whether the server is this machine
    let token: String

    /// Throw EndpointError for an address, a model or a token that cannot be used.
    public init(
        _ url: String, model: String, version: String = "", token: String = "", plainHttp: Bool = false
    ) throws {
        guard let parts = URLComponents(string: url), let host = parts.host, !host.isEmpty,
            parts.scheme == "https" || parts.scheme == "http", (parts.port ?? 1) <= 65_535
        else {
            throw EndpointError(description: "server '\(url)' is no address; give https://HOST[:PORT]")
        }
        guard parts.user == nil, parts.password == nil, parts.query == nil, parts.fragment == nil else {
            throw EndpointError(
                description: "server \(host): give the token as `token`, and no user, query or fragment in the address"
            )
        }
        let isLocal = isLoopback(host)
        guard parts.scheme == "https" || isLocal || plainHttp else {
            throw EndpointError(
                description: "server \(url): pictures and tokens would travel unencrypted; "
                    + "give https://, or set plainHttp"
            )
        }
        guard !model.isEmpty else { throw EndpointError(description: "server \(url): give the model's name there") }
        guard token.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw EndpointError(
                description: "the token holds characters that no token has; is there a line break in its file?"
            )
        }
        var base = url
        while base.hasSuffix("/") {
            base.removeLast()
        }
        let versions = version.isEmpty ? "" : "/versions/\(quoted(version))"
        guard let address = URL(string: "\(base)/v2/models/\(quoted(model))\(versions)") else {
            throw EndpointError(description: "server '\(url)' is no address; give https://HOST[:PORT]")
        }
        self.url = url
        self.model = model
        self.version = version
        self.token = token
        self.plainHttp = plainHttp
        self.address = address
        local = isLocal
    }

    /// The address, without the token.
    public var description: String { "Endpoint(\(address.absoluteString))" }
}

/// Say whether a host is this machine, without looking a name up.
private func isLoopback(_ host: String) -> Bool {
    let bare = host.trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
    if bare == "localhost" || bare == "::1" { return true }
    let parts = bare.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
}

private func quoted(_ text: String) -> String {
    let unreserved = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)
    let hex = Array("0123456789ABCDEF")
    var found = ""
    for byte in text.utf8 {
        if unreserved.contains(byte) {
            found.unicodeScalars.append(Unicode.Scalar(byte))
        } else {
            found += "%\(hex[Int(byte >> 4)])\(hex[Int(byte & 15)])"
        }
    }
    return found
}
