/// The HTTP header that says how many bytes of a body are JSON; without it all are.
public let HEADER = "Inference-Header-Content-Length"
private let alignment = 16  // the JSON is filled up with spaces, so that the reader can use the first tensor in place

/// A body, and how many of its bytes are JSON.
public struct Message: Equatable, Sendable {
    public let body: [UInt8]
    public let jsonBytes: Int

    /// Return the HTTP headers that say how to read the body.
    public var headers: [String: String] {
        ["Content-Type": "application/octet-stream", HEADER: String(jsonBytes)]
    }
}

/// Return an encoded picture as a BYTES tensor, its region among the parameters; throws JsonError for an infinite one.
public func pictureTensor(_ name: String, encoded: [UInt8], region: Region?) throws -> Tensor {
    var parameters = JsonObject()
    if let region {
        _ = parameters.add("centre_x", .number(try numberText(region.centreX)))
        _ = parameters.add("centre_y", .number(try numberText(region.centreY)))
        _ = parameters.add("side", .number(try numberText(region.side)))
        _ = parameters.add("rotation", .number(try numberText(region.rotation)))
    }
    return Tensor.of(name, elements: [encoded], parameters: parameters)
}

/// Return the message that asks for `outputs`, or all of them, tensors both ways as binary data.
///
/// `timeoutUs` is how long the client waits, in microseconds; `priority` 0 is the model's default.
public func encodeRequest(
    _ inputs: [Tensor], outputs: [String] = [], id: String = "", timeoutUs: Int? = nil, priority: Int = 0
) -> Message {
    var parameters = JsonObject(["binary_data_output": .boolean(true)])
    if let timeoutUs { _ = parameters.add("timeout", jsonOf(timeoutUs)) }
    if priority != 0 { _ = parameters.add("priority", jsonOf(priority)) }
    var document = JsonObject()
    if !id.isEmpty { _ = document.add("id", .string(id)) }
    _ = document.add("parameters", .object(parameters))
    _ = document.add("inputs", .array(inputs.map(describe)))
    if !outputs.isEmpty {
        _ = document.add("outputs", .array(outputs.map { jsonOf(["name": .string($0)]) }))
    }
    return join(Array(Json.object(document).write().utf8), inputs)
}

private func describe(_ tensor: Tensor) -> Json {
    var parameters = tensor.parameters
    _ = parameters.add("binary_data_size", jsonOf(tensor.raw.count))
    return jsonOf([
        "name": .string(tensor.name),
        "shape": .array(tensor.shape.map { jsonOf($0) }),
        "datatype": .string(tensor.datatype.rawValue),
        "parameters": .object(parameters),
    ])
}

private func join(_ head: [UInt8], _ inputs: [Tensor]) -> Message {
    let jsonBytes = (head.count + alignment - 1) / alignment * alignment
    var body = head
    body.reserveCapacity(inputs.reduce(jsonBytes) { $0 + $1.raw.count })
    body.append(contentsOf: repeatElement(UInt8(ascii: " "), count: jsonBytes - head.count))
    for input in inputs {
        body.append(contentsOf: input.raw)
    }
    return Message(body: body, jsonBytes: jsonBytes)
}
