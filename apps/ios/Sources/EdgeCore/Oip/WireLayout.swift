private let sizeKey = "binary_data_size"

/// Return how many bytes of a body are JSON; throws ServeError.
func jsonLength(_ bodyBytes: Int, headerLength: String?, _ limits: Limits) throws -> Int {
    guard bodyBytes <= limits.bodyBytes else {
        throw ServeError(.tooLarge, "the body has \(bodyBytes) bytes; at most \(limits.bodyBytes) are taken")
    }
    let jsonBytes = try headerLength.map { try parseLength($0, header: HEADER) } ?? bodyBytes
    guard jsonBytes <= limits.jsonBytes else {
        throw ServeError(.tooLarge, "the JSON has \(jsonBytes) bytes; at most \(limits.jsonBytes) are read")
    }
    guard jsonBytes <= bodyBytes else {
        throw ServeError(.requestError, "\(HEADER) is \(jsonBytes), the whole body has \(bodyBytes) bytes")
    }
    return jsonBytes
}

/// Return where elementSize tensor lies in the binary part, by name; one in the JSON takes no room there.
///
/// Checks, before any tensor takes memory, that names differ, that shape × datatype is the stated size, and that the
/// sizes fill the binary part. Throws ServeError.
func layOut(_ documents: [TensorDocument], binaryBytes: Int, _ limits: Limits) throws -> [String: Range<Int>] {
    guard documents.count <= limits.tensors else {
        throw ServeError(.tooLarge, "\(documents.count) tensors; at most \(limits.tensors) are taken")
    }
    var places: [String: Range<Int>] = [:]
    var offset = 0
    for document in documents {
        guard places[document.name] == nil else {
            throw ServeError(.requestError, "tensor \(shown(document.name)) is given twice")
        }
        let sizeBytes = try statedBytes(document)
        try checkSize(document, sizeBytes, limits)
        guard (sizeBytes ?? 0) <= binaryBytes - offset else {
            throw ServeError(.requestError, "tensor \(shown(document.name)): more bytes than follow the JSON")
        }
        let end = offset + (sizeBytes ?? 0)
        places[document.name] = offset..<end
        offset = end
    }
    guard offset == binaryBytes else {
        throw ServeError(
            .requestError, "the tensors' \(sizeKey) adds up to \(offset) bytes; \(binaryBytes) follow the JSON"
        )
    }
    return places
}

/// Return a tensor of the JSON, or from where `layOut` placed it in `binary`; throws ServeError for wrong values.
func readTensor(_ document: TensorDocument, _ place: Range<Int>, _ binary: ArraySlice<UInt8>) throws -> Tensor {
    let raw: [UInt8]
    if let data = document.data {
        raw = try rawOfJson(document, data)
    } else {
        let begin = binary.startIndex
        raw = Array(binary[(begin + place.lowerBound)..<(begin + place.upperBound)])
        try checkValues(document, raw)
    }
    var parameters = JsonObject()
    for name in document.parameters.names where name != sizeKey {
        _ = parameters.add(name, document.parameters[name] ?? .null)
    }
    return Tensor(
        name: document.name, datatype: document.datatype, shape: document.shape, raw: raw, parameters: parameters
    )
}

private func checkValues(_ document: TensorDocument, _ raw: [UInt8]) throws {
    let name = shown(document.name)
    if document.datatype == .bool, raw.contains(where: { $0 > 1 }) {
        throw ServeError(.requestError, "tensor \(name): BOOL is a byte of 0 or 1, some are not")
    }
    if document.datatype == .bytes, !isFilled(raw, elementCount(document.shape)) {
        throw ServeError(.requestError, "tensor \(name): \(raw.count) bytes are not the shape's elements of BYTES")
    }
}

/// Say whether `count` elements, elementSize 4 bytes of length and then as many bytes, fill the bytes.
private func isFilled(_ raw: [UInt8], _ count: Int) -> Bool {
    var at = 0
    for _ in 0..<count {
        guard raw.count - at >= 4 else { return false }
        let length = Int(raw.littleEndian(at: at, bytes: 4))
        guard length <= raw.count - at - 4 else { return false }
        at += 4 + length
    }
    return at == raw.count
}

/// Return a tensor's size in the binary part, nil where its values are in the JSON.
private func statedBytes(_ document: TensorDocument) throws -> Int? {
    let name = shown(document.name)
    guard !document.parameters.names.contains(where: { $0.hasPrefix("shared_memory") }) else {
        throw ServeError(.requestError, "tensor \(name): shared memory is not served; send the tensor as binary data")
    }
    let stated = document.parameters[sizeKey]
    guard (document.data != nil) != (stated != nil) else {
        let given = stated == nil ? "neither data nor \(sizeKey)" : "both data and \(sizeKey)"
        throw ServeError(.requestError, "tensor \(name) has \(given); give one of them")
    }
    guard let stated else { return nil }
    guard let found = try? JsonReader(stated).int(), found >= 0 else {
        throw ServeError(.requestError, "tensor \(name): \(sizeKey) is no number of bytes")
    }
    return found
}

/// Check shape × datatype against the limits and the stated size, without overflow.
private func checkSize(_ document: TensorDocument, _ sizeBytes: Int?, _ limits: Limits) throws {
    let name = shown(document.name)
    guard document.shape.count <= limits.axes else {
        throw ServeError(
            .tooLarge, "tensor \(name) has \(document.shape.count) axes; at most \(limits.axes) are taken"
        )
    }
    let count = elementCount(document.shape)
    let elementSize = document.datatype.size
    if elementSize == nil, count > limits.elements {
        throw ServeError(
            .tooLarge, "tensor \(name) has \(count) elements of BYTES; at most \(limits.elements) are taken"
        )
    }
    let leastBytes = saturatedTimes(count, elementSize ?? 4)  // an element of BYTES is at least its length
    let what = "tensor \(name): \(document.shape) of \(document.datatype.rawValue)"
    guard leastBytes <= limits.bodyBytes else {
        throw ServeError(.tooLarge, "\(what) is above the limit of \(limits.bodyBytes) bytes")
    }
    guard let sizeBytes else { return }
    guard elementSize == nil ? sizeBytes >= leastBytes : sizeBytes == leastBytes else {
        let least = elementSize == nil ? "at least " : ""
        throw ServeError(.requestError, "\(what) is \(least)\(leastBytes) bytes, \(sizeKey) is \(sizeBytes)")
    }
}
