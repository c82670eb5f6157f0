/// Bound what one message may take; everything is checked before memory is taken for it.
public struct Limits: Equatable, Sendable {
    public var bodyBytes = 8 << 20
    public var jsonBytes = 64 << 10  // tensors written as JSON count too: larger ones travel as binary data
    public var tensors = 16  // inputs, or outputs, of one message
    public var axes = 8  // of one tensor
    public var rows = 64  // of the first axis, where the model leaves it open
    public var elements = 4096  // of one BYTES tensor

    public init() {}
}

/// Return a header's number of bytes; throws ServeError for anything but plain digits.
func parseLength(_ text: String, header: String) throws -> Int {
    let isNumber = (1...15).contains(text.utf8.count) && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    guard isNumber, let found = Int(text) else {
        throw ServeError(.requestError, "header \(header) is '\(printable(text, 40))'; it has to be a number of bytes")
    }
    return found
}

/// Collect a body chunk by chunk and refuse it as soon as it is, or announces to be, above the limit.
///
/// `contentLength` and `contentEncoding` are the headers' values, nil where they are absent. Memory grows with what has
/// arrived, never with what was announced.
public struct BodyLimiter: Sendable {
    private let limitBytes: Int
    private let announcedBytes: Int?
    private var body: [UInt8] = []

    /// Throw ServeError for a compressed body, or one that is announced to be too large.
    public init(limitBytes: Int, contentLength: String? = nil, contentEncoding: String? = nil) throws {
        if let contentEncoding, contentEncoding.lowercased() != "identity", !contentEncoding.isEmpty {
            throw ServeError(
                .unsupportedEncoding,
                "a body with Content-Encoding '\(printable(contentEncoding, 40))' is refused; send it uncompressed"
            )
        }
        self.limitBytes = limitBytes
        announcedBytes = try contentLength.map { try parseLength($0, header: "Content-Length") }
        if let announcedBytes { try check(announcedBytes) }
    }

    /// Add a chunk; throws ServeError above the limit, and above what was announced.
    public mutating func feed<Chunk: Collection>(_ chunk: Chunk) throws where Chunk.Element == UInt8 {
        let sizeBytes = body.count + chunk.count
        try check(sizeBytes)
        if let announcedBytes, sizeBytes > announcedBytes {
            throw ServeError(
                .requestError, "the body is longer than the \(announcedBytes) bytes of its Content-Length"
            )
        }
        body.append(contentsOf: chunk)
    }

    /// Return the body; throws ServeError where less arrived than was announced.
    public func finish() throws -> [UInt8] {
        if let announcedBytes, body.count != announcedBytes {
            throw ServeError(.requestError, "the body ended after \(body.count) of \(announcedBytes) bytes")
        }
        return body
    }

    private func check(_ sizeBytes: Int) throws {
        guard sizeBytes <= limitBytes else {
            throw ServeError(.tooLarge, "the body is above the limit of \(limitBytes) bytes; send a smaller picture")
        }
    }
}
