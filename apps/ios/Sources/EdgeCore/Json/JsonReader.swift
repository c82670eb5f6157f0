/// A value and where it stands, read as what is expected there; every mismatch throws JsonError with the place.
public struct JsonReader: Sendable {
    private let value: Json
    private let path: String

    public init(_ value: Json, path: String = "") {
        self.value = value
        self.path = path
    }

    public var isNull: Bool { value == .null }

    /// Return the members of an object; names that are not in `known` throw, unless `known` is nil.
    public func members(known: Set<String>? = nil) throws -> JsonMembers {
        guard case .object(let object) = value else { throw expected("an object") }
        if let known, let strange = object.names.first(where: { !known.contains($0) }) {
            throw JsonError("the key '\(strange.prefix(40))' is not known", path: path)
        }
        return JsonMembers(object, path: path)
    }

    public func items() throws -> [JsonReader] {
        guard case .array(let items) = value else { throw expected("a list") }
        return items.enumerated().map { JsonReader($0.element, path: "\(path)[\($0.offset)]") }
    }

    public func string() throws -> String {
        guard case .string(let text) = value else { throw expected("a string") }
        return text
    }

    public func boolean() throws -> Bool {
        guard case .boolean(let found) = value else { throw expected("true or false") }
        return found
    }

    public func int() throws -> Int {
        guard let found = Int(try digits()) else { throw expected("a whole number") }
        return found
    }

    public func double() throws -> Double {
        guard let found = Double(try digits()), found.isFinite else { throw expected("a finite number") }
        return found
    }

    public func float() throws -> Float { Float(try double()) }

    /// Return what `read` makes of the value, or nil for null.
    public func orNull<T>(_ read: (JsonReader) throws -> T) rethrows -> T? { isNull ? nil : try read(self) }

    /// Return the value itself.
    public var json: Json { value }

    /// Return an error at this place.
    public func failure(_ message: String) -> JsonError { JsonError(message, path: path) }

    private func digits() throws -> String {
        guard case .number(let text) = value else { throw expected("a number") }
        return text
    }

    private func expected(_ what: String) -> JsonError { JsonError("\(what) was expected", path: path) }
}

/// The members of an object, each read at its place.
public struct JsonMembers: Sendable {
    private let object: JsonObject
    private let path: String

    init(_ object: JsonObject, path: String) {
        self.object = object
        self.path = path
    }

    public var names: [String] { object.names }

    /// Return the reader of a member, nil where it is absent.
    public subscript(name: String) -> JsonReader? {
        object[name].map { JsonReader($0, path: path.isEmpty ? name : "\(path).\(name)") }
    }

    /// Return the reader of a member that has to be there.
    public func required(_ name: String) throws -> JsonReader {
        guard let found = self[name] else { throw JsonError("the key '\(name)' is missing", path: path) }
        return found
    }
}
