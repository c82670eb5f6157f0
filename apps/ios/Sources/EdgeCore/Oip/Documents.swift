private let longestName = 256
private let largestSize = 1 << 40  // of one axis

/// One tensor in the JSON: `data`, or `binary_data_size` among its parameters.
struct TensorDocument {
    let name: String
    let shape: [Int]
    let datatype: Datatype
    let parameters: JsonObject
    let data: Json?
}

/// An answer's JSON, read but not checked against the binary part.
struct ResponseDocument {
    let modelName: String
    let modelVersion: String
    let id: String
    let parameters: JsonObject
    let outputs: [TensorDocument]
}

/// Return the document of an answer's JSON; throws JsonError. Keys that the protocol does not name are passed over.
func readResponseDocument(_ bytes: [UInt8]) throws -> ResponseDocument {
    let members = try JsonReader(try parseJson(bytes: bytes)).members()
    return ResponseDocument(
        modelName: try readName(try members.required("model_name")),
        modelVersion: try members["model_version"]?.string() ?? "",
        id: try members["id"].map { try checkedLength($0) } ?? "",
        parameters: try readParameters(members["parameters"]),
        outputs: try members.required("outputs").items().map(readTensorDocument)
    )
}

private func readTensorDocument(_ reader: JsonReader) throws -> TensorDocument {
    let members = try reader.members()
    return TensorDocument(
        name: try readName(try members.required("name")),
        shape: try members.required("shape").items().map(readSize),
        datatype: try readDatatype(try members.required("datatype")),
        parameters: try readParameters(members["parameters"]),
        data: members["data"]?.json
    )
}

func readDatatype(_ reader: JsonReader) throws -> Datatype {
    let name = try reader.string()
    guard let found = Datatype(rawValue: name) else { throw reader.failure("\(shown(name)) is none of the protocol's") }
    return found
}

/// Return parameters, which are booleans, numbers and strings; none where they are absent.
func readParameters(_ reader: JsonReader?) throws -> JsonObject {
    guard let reader else { return JsonObject() }
    let members = try reader.members()
    var found = JsonObject()
    for name in members.names {
        let parameter = try members.required(name)
        switch parameter.json {
        case .boolean, .string: break
        case .number: _ = try parameter.double()
        case .object, .array, .null: throw parameter.failure("a boolean, a number or a string was expected")
        }
        _ = found.add(name, parameter.json)
    }
    return found
}

private func readName(_ reader: JsonReader) throws -> String {
    let found = try checkedLength(reader)
    guard !found.isEmpty else { throw reader.failure("it is empty") }
    return found
}

private func readSize(_ reader: JsonReader) throws -> Int {
    let found = try reader.int()
    guard (0...largestSize).contains(found) else { throw reader.failure("a size is from 0 to 2^40") }
    return found
}

private func checkedLength(_ reader: JsonReader) throws -> String {
    let found = try reader.string()
    guard found.unicodeScalars.count <= longestName else { throw reader.failure("it is longer than \(longestName)") }
    return found
}
