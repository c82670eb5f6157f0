/// Return the raw bytes of a tensor's JSON values, flat or nested as the shape says; throws ServeError.
///
/// Memory is taken only once as many values are there as the shape says.
func rawOfJson(_ document: TensorDocument, _ data: Json) throws -> [UInt8] {
    let name = shown(document.name)
    guard document.datatype != .bf16 else {
        throw ServeError(
            .requestError, "tensor \(name): BF16 travels as binary data only; give it a binary_data_size"
        )
    }
    var values: [Json] = []
    let shape = isNested(data) ? document.shape : [elementCount(document.shape)]
    try flatten(name, data, shape[...], &values)
    guard let size = document.datatype.size else {
        return joined(try values.map { try bytes($0, name) })
    }
    var raw: [UInt8] = []
    raw.reserveCapacity(values.count * size)
    for value in values {
        raw.append(littleEndian: try bits(value, document.datatype, name), bytes: size)
    }
    return raw
}

private func isNested(_ data: Json) -> Bool {
    guard case .array(let items) = data, case .array? = items.first else { return false }
    return true
}

private func flatten(_ name: String, _ data: Json, _ shape: ArraySlice<Int>, _ values: inout [Json]) throws {
    guard case .array(let items) = data else {
        throw ServeError(.requestError, "tensor \(name): its data are no list as deep as its shape")
    }
    guard items.count == shape.first ?? 1 else {
        throw ServeError(
            .requestError, "tensor \(name): its data do not fill its shape; one list has \(items.count) elements"
        )
    }
    if shape.count < 2 {
        values.append(contentsOf: items)
        return
    }
    for item in items {
        try flatten(name, item, shape.dropFirst(), &values)
    }
}

private func bytes(_ value: Json, _ name: String) throws -> [UInt8] {
    guard case .string(let text) = value else { throw none(name, .bytes) }
    return Array(text.utf8)
}

private func bits(_ value: Json, _ datatype: Datatype, _ name: String) throws -> UInt64 {
    if datatype == .bool {
        guard case .boolean(let flag) = value else { throw none(name, datatype) }
        return flag ? 1 : 0
    }
    guard case .number(let text) = value else { throw none(name, datatype) }
    return try datatype.isFloat ? floatBits(text, datatype, name) : wholeBits(text, datatype, name)
}

private func floatBits(_ text: String, _ datatype: Datatype, _ name: String) throws -> UInt64 {
    guard let number = Double(text) else { throw none(name, datatype) }
    switch datatype {
    case .fp16:
        let half = halfBits(number)
        guard half & 0x7c00 != 0x7c00 else { throw outside(name, datatype) }
        return UInt64(half)
    case .fp32:
        let single = Float(number)
        guard single.isFinite else { throw outside(name, datatype) }
        return UInt64(single.bitPattern)
    default:
        guard number.isFinite else { throw outside(name, datatype) }
        return number.bitPattern
    }
}

private func wholeBits(_ text: String, _ datatype: Datatype, _ name: String) throws -> UInt64 {
    guard !text.contains(where: { $0 == "." || $0 == "e" || $0 == "E" }) else { throw none(name, datatype) }
    if datatype == .uint64 {
        guard let found = UInt64(text == "-0" ? "0" : text) else { throw outside(name, datatype) }
        return found
    }
    guard let found = Int(text), let range = datatype.range, range.contains(found) else {
        throw outside(name, datatype)
    }
    return UInt64(truncatingIfNeeded: found)
}

private func none(_ name: String, _ datatype: Datatype) -> ServeError {
    ServeError(.requestError, "tensor \(name): its data are no \(datatype.rawValue) values")
}

private func outside(_ name: String, _ datatype: Datatype) -> ServeError {
    ServeError(.requestError, "tensor \(name): a value is outside \(datatype.rawValue)'s range")
}
