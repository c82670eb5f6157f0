private let longestMessage = 300  // characters of a message that came from the other side

/// What a server answers instead of a result; no message holds values of tensors or pixels of pictures.
public struct ServeError: Error, Equatable, CustomStringConvertible {
    /// What went wrong, by the names of the reference's classes.
    public enum Kind: String, CaseIterable, Sendable {
        case serveError = "ServeError"
        case requestError = "RequestError"
        case unauthenticated = "Unauthenticated"
        case forbidden = "Forbidden"
        case unknownModel = "UnknownModel"
        case tooLarge = "TooLarge"
        case unsupportedEncoding = "UnsupportedEncoding"
        case tooManyRequests = "TooManyRequests"
        case answerError = "AnswerError"
        case cut = "Cut"
        case busy = "Busy"
        case deadlinePassed = "DeadlinePassed"

        /// HTTP's status.
        public var status: Int {
            switch self {
            case .serveError: return 500
            case .requestError: return 400
            case .unauthenticated: return 401
            case .forbidden: return 403
            case .unknownModel: return 404
            case .tooLarge: return 413
            case .unsupportedEncoding: return 415
            case .tooManyRequests: return 429
            case .answerError, .cut: return 502
            case .busy: return 503
            case .deadlinePassed: return 504
            }
        }

        /// Say whether the server refuses this request, which is a sign of life.
        public var isRefusal: Bool { (400...415).contains(status) }
    }

    public let kind: Kind
    public let description: String
    public let retryAfterS: Int?  // whole seconds, of `busy` and `tooManyRequests`

    public init(_ kind: Kind, _ description: String, retryAfterS: Int? = nil) {
        self.kind = kind
        self.description = description
        self.retryAfterS = retryAfterS
    }
}

private let answered: [ServeError.Kind] = [
    .requestError, .unauthenticated, .forbidden, .unknownModel, .tooLarge, .unsupportedEncoding, .tooManyRequests,
    .busy, .deadlinePassed,
]

/// Return the error that an answer with a status other than 200 means; never throws.
///
/// `retryAfter` is the header's value; a date, or anything else that is no number of seconds, counts as 1.
public func parseError(status: Int, body: [UInt8], retryAfter: String = "") -> ServeError {
    let kind = answered.first { $0.status == status } ?? .serveError
    let message = "the server answered \(status): \(said(body))"
    guard kind == .busy || kind == .tooManyRequests else { return ServeError(kind, message) }
    let isNumber = (1...6).contains(retryAfter.utf8.count) && retryAfter.utf8.allSatisfy { (0x30...0x39).contains($0) }
    return ServeError(kind, message, retryAfterS: isNumber ? Int(retryAfter) ?? 1 : 1)
}

private func said(_ body: [UInt8]) -> String {
    let found = try? JsonReader(parseJson(bytes: body)).members().required("error").string()
    return found.map { printable($0) } ?? "without a reason"
}

/// Return text of the other side on one line without control characters, cut to `longest` characters.
func printable(_ text: String, _ longest: Int = longestMessage) -> String {
    var shown = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(longest) {
        shown.append(isPrintable(scalar) ? scalar : "?")
    }
    return String(shown) + (text.unicodeScalars.count > longest ? "…" : "")
}

private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: return false
    case .spaceSeparator: return scalar == " "
    default: return true
    }
}

/// Return a name of the other side as it is quoted in messages.
func shown(_ name: String) -> String { "'\(printable(name, 80))'" }
