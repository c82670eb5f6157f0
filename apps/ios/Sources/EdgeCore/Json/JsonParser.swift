private let mostBytes = 4 << 20
private let deepest = 64

/// Return the value of a text of RFC 8259; nothing but white space may follow it.
///
/// Throws JsonError for anything else, for a name that an object has twice, for more than 4 MiB and for values nested
/// deeper than 64. A lone surrogate is refused: a Swift string cannot hold it.
public func parseJson(_ text: String) throws -> Json {
    try parseJson(bytes: Array(text.utf8))
}

/// Return the value of UTF-8 text, as `parseJson(_:)` does; throws JsonError for bytes that are no UTF-8, too.
public func parseJson(bytes: [UInt8]) throws -> Json {
    guard bytes.count <= mostBytes else { throw JsonError("the text has \(bytes.count) bytes; \(mostBytes) are taken") }
    var parser = JsonParser(bytes)
    return try parser.whole()
}

private struct JsonParser {
    private let text: [UInt8]
    private var at = 0

    init(_ text: [UInt8]) {
        self.text = text
    }

    mutating func whole() throws -> Json {
        let found = try value(depth: 0)
        skipSpace()
        guard at == text.count else { throw failure("something follows the value") }
        return found
    }

    private mutating func value(depth: Int) throws -> Json {
        guard depth <= deepest else { throw failure("values are nested deeper than \(deepest)") }
        skipSpace()
        switch peek() {
        case UInt8(ascii: "{"): return try members(depth: depth)
        case UInt8(ascii: "["): return try items(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func members(depth: Int) throws -> Json {
        var found = JsonObject()
        at += 1
        skipSpace()
        if skip(UInt8(ascii: "}")) { return .object(found) }
        repeat {
            skipSpace()
            guard peek() == UInt8(ascii: "\"") else { throw failure("a name in quotes was expected") }
            let name = try string()
            skipSpace()
            try take(UInt8(ascii: ":"))
            let member = try value(depth: depth + 1)
            guard found.add(name, member) else { throw failure("the name '\(name.prefix(40))' comes twice") }
            skipSpace()
        } while skip(UInt8(ascii: ","))
        try take(UInt8(ascii: "}"))
        return .object(found)
    }

    private mutating func items(depth: Int) throws -> Json {
        var found: [Json] = []
        at += 1
        skipSpace()
        if skip(UInt8(ascii: "]")) { return .array(found) }
        repeat {
            found.append(try value(depth: depth + 1))
            skipSpace()
        } while skip(UInt8(ascii: ","))
        try take(UInt8(ascii: "]"))
        return .array(found)
    }

    private mutating func string() throws -> String {
        at += 1
        var found: [UInt8] = []
        while true {
            let byte = try next()
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validatingUTF8Bytes: found) else { throw failure("a string is no UTF-8") }
                return text
            case UInt8(ascii: "\\"):
                found.append(contentsOf: String(try escaped()).utf8)
            case 0..<0x20:
                throw failure("a control character stands in a string")
            default:
                found.append(byte)
            }
        }
    }

    private mutating func escaped() throws -> Character {
        switch try next() {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return Character(try scalar())
        default: throw failure("a backslash begins no such escape")
        }
    }

    /// Read what follows `\u`: four digits, or a pair of surrogates.
    private mutating func scalar() throws -> Unicode.Scalar {
        let first = try fourDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let isHigh = (0xD800...0xDBFF).contains(first)
        guard isHigh, skip(UInt8(ascii: "\\")), skip(UInt8(ascii: "u")) else {
            throw failure("a surrogate stands alone")
        }
        let second = try fourDigits()
        guard (0xDC00...0xDFFF).contains(second) else { throw failure("a surrogate stands alone") }
        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        guard let scalar = Unicode.Scalar(code) else { throw failure("a surrogate stands alone") }
        return scalar
    }

    private mutating func fourDigits() throws -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = hexDigit(try next()) else { throw failure("\\u needs four digits") }
            code = code << 4 | digit
        }
        return code
    }

    private func hexDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): return UInt32(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): return UInt32(byte - UInt8(ascii: "A")) + 10
        default: return nil
        }
    }

    private mutating func number() throws -> Json {
        let begin = at
        _ = skip(UInt8(ascii: "-"))
        if !skip(UInt8(ascii: "0")) { try digits() }
        if skip(UInt8(ascii: ".")) { try digits() }
        if skip(UInt8(ascii: "e")) || skip(UInt8(ascii: "E")) {
            if !skip(UInt8(ascii: "+")) { _ = skip(UInt8(ascii: "-")) }
            try digits()
        }
        return .number(String(decoding: text[begin..<at], as: UTF8.self))
    }

    private mutating func digits() throws {
        let begin = at
        while let byte = peek(), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            at += 1
        }
        guard at > begin else {
            throw failure(at < text.count ? "no value begins here" : "the text ends too early")
        }
    }

    private mutating func word(_ word: String, _ value: Json) throws -> Json {
        guard text[at...].starts(with: word.utf8) else { throw failure("'\(word)' was expected") }
        at += word.utf8.count
        return value
    }

    private mutating func take(_ byte: UInt8) throws {
        guard try next() == byte else { throw failure("'\(Character(Unicode.Scalar(byte)))' was expected") }
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        at += 1
        return true
    }

    private mutating func next() throws -> UInt8 {
        guard at < text.count else { throw failure("the text ends too early") }
        at += 1
        return text[at - 1]
    }

    private func peek() -> UInt8? { at < text.count ? text[at] : nil }

    private mutating func skipSpace() {
        while let byte = peek(), byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
            at += 1
        }
    }

    private func failure(_ what: String) -> JsonError { JsonError("\(what) (at byte \(at))") }
}

extension String {
    /// Make a string of UTF-8; nil where the bytes are none. Decoding repairs broken bytes, which are then others.
    init?(validatingUTF8Bytes bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.utf8.elementsEqual(bytes) else { return nil }
        self = text
    }
}
