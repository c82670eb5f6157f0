private let pictures = "pictures"  // parameter of an input that also takes encoded pictures, BYTES of shape [n]

/// Declare one tensor; −1 is an axis of any size, on the first axis of any number of rows.
public struct TensorMetadata: Equatable, Sendable {
    public let name: String
    public let datatype: Datatype
    public let shape: [Int]
    public let parameters: JsonObject

    public init(name: String, datatype: Datatype, shape: [Int], parameters: JsonObject = JsonObject()) {
        self.name = name
        self.datatype = datatype
        self.shape = shape
        self.parameters = parameters
    }

    /// Say whether encoded pictures are taken in place of this tensor.
    public var takesPictures: Bool { parameters[pictures] == .boolean(true) }
}

/// Declare a model: its versions, what runs it, what goes in and what comes out.
public struct ModelMetadata: Equatable, Sendable {
    public let name: String
    public let versions: [String]
    public let platform: String
    public let inputs: [TensorMetadata]
    public let outputs: [TensorMetadata]
}

/// Return what a server says of a model; throws ServeError. Keys that the protocol does not name are passed over.
public func readMetadata(_ body: [UInt8]) throws -> ModelMetadata {
    do {
        let members = try JsonReader(try parseJson(bytes: body)).members()
        return ModelMetadata(
            name: try members.required("name").string(),
            versions: try members["versions"]?.items().map { try $0.string() } ?? ["1"],
            platform: try members["platform"]?.string() ?? "",
            inputs: try members.required("inputs").items().map(tensorMetadata),
            outputs: try members.required("outputs").items().map(tensorMetadata)
        )
    } catch let error as JsonError {
        throw ServeError(.answerError, "the server's metadata cannot be read: \(printable(error.description))")
    }
}

private func tensorMetadata(_ reader: JsonReader) throws -> TensorMetadata {
    let members = try reader.members()
    return TensorMetadata(
        name: try members.required("name").string(),
        datatype: try readDatatype(try members.required("datatype")),
        shape: try members.required("shape").items().map { try $0.int() },
        parameters: try readParameters(members["parameters"])
    )
}

/// Say whether a shape is one that is declared; an open first axis takes 1 to `mostRows` rows.
func fits(_ shape: [Int], _ declared: [Int], mostRows: Int) -> Bool {
    guard shape.count == declared.count, shape.allSatisfy({ $0 >= 1 }) else { return false }
    guard zip(shape, declared).allSatisfy({ $1 == -1 || $0 == $1 }) else { return false }
    return declared.first != -1 || shape[0] <= mostRows
}
