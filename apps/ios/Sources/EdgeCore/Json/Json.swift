/// A value of RFC 8259. Numbers keep their text, so that nothing is rounded before somebody says what it is.
public enum Json: Equatable, Sendable {
    case object(JsonObject)
    case array([Json])
    case string(String)
    case number(String)
    case boolean(Bool)
    case null
}

/// The members of an object in the order of their text.
public struct JsonObject: Equatable, Sendable {
    public private(set) var names: [String] = []
    private var values: [String: Json] = [:]

    public init() {}

    /// Take members in order; of a name that comes twice the last value counts.
    public init(_ members: KeyValuePairs<String, Json>) {
        for (name, value) in members {
            _ = add(name, value)
        }
    }

    /// Return a member, or nil where it is absent; a member that is null is `.null`.
    public subscript(name: String) -> Json? { values[name] }

    /// Add a member or replace it, and say whether it is new.
    public mutating func add(_ name: String, _ value: Json) -> Bool {
        let isNew = values.updateValue(value, forKey: name) == nil
        if isNew {
            names.append(name)
        }
        return isNew
    }
}

/// Report text that is no JSON, or JSON that is not what was expected; `path` says where, like `files[0].bytes`.
public struct JsonError: Error, Equatable, CustomStringConvertible {
    public let message: String
    public let path: String

    public init(_ message: String, path: String = "") {
        self.message = message
        self.path = path
    }

    public var description: String { path.isEmpty ? message : "\(path): \(message)" }
}

/// Return the JSON of a string.
public func jsonOf(_ value: String) -> Json { .string(value) }

/// Return the JSON of a truth value.
public func jsonOf(_ value: Bool) -> Json { .boolean(value) }

/// Return the JSON of a whole number.
public func jsonOf(_ value: Int) -> Json { .number(String(value)) }

/// Return the JSON of a number; throws JsonError for infinities and NaN, which JSON has not.
public func jsonOf(_ value: Double) throws -> Json {
    guard value.isFinite else { throw JsonError("\(value) has no JSON") }
    return .number(String(value))
}

/// Return the JSON of a number; throws JsonError for infinities and NaN, which JSON has not.
public func jsonOf(_ value: Float) throws -> Json {
    guard value.isFinite else { throw JsonError("\(value) has no JSON") }
    return .number(String(value))
}

/// Return the JSON of an object.
public func jsonOf(_ members: KeyValuePairs<String, Json>) -> Json { .object(JsonObject(members)) }

extension Json {
    /// Return the text of a value, without spaces and needless escapes, as the reference writes it.
    public func write() -> String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .boolean(let value): text += value ? "true" : "false"
        case .number(let digits): text += digits
        case .string(let value): quote(value, to: &text)
        case .array(let items): write(items, to: &text)
        case .object(let object): write(object, to: &text)
        }
    }

    private func write(_ items: [Json], to text: inout String) {
        text += "["
        for (index, item) in items.enumerated() {
            if index > 0 { text += "," }
            item.write(to: &text)
        }
        text += "]"
    }

    private func write(_ object: JsonObject, to text: inout String) {
        text += "{"
        for (index, name) in object.names.enumerated() {
            if index > 0 { text += "," }
            quote(name, to: &text)
            text += ":"
            (object[name] ?? .null).write(to: &text)
        }
        text += "}"
    }

    private func quote(_ value: String, to text: inout String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5C:
                text += "\\"
                text.unicodeScalars.append(scalar)
            case 0x08: text += "\\b"
            case 0x09: text += "\\t"
            case 0x0A: text += "\\n"
            case 0x0C: text += "\\f"
            case 0x0D: text += "\\r"
            case 0..<0x20:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default:
                text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
