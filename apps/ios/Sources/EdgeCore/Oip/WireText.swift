// Requests are compared byte for byte, so numbers and strings are written as the reference writes them.

/// Return the UTF-8 of a value's JSON, nothing escaped but what has to be.
func wireBytes(_ value: Json) -> [UInt8] {
    var bytes: [UInt8] = []
    write(value, to: &bytes)
    return bytes
}

private func write(_ value: Json, to bytes: inout [UInt8]) {
    switch value {
    case .null: bytes.append(contentsOf: "null".utf8)
    case .boolean(let flag): bytes.append(contentsOf: (flag ? "true" : "false").utf8)
    case .number(let digits): bytes.append(contentsOf: digits.utf8)
    case .string(let text): quote(text, to: &bytes)
    case .array(let items):
        bytes.append(UInt8(ascii: "["))
        for (index, item) in items.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            write(item, to: &bytes)
        }
        bytes.append(UInt8(ascii: "]"))
    case .object(let object):
        bytes.append(UInt8(ascii: "{"))
        for (index, name) in object.names.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            quote(name, to: &bytes)
            bytes.append(UInt8(ascii: ":"))
            write(object[name] ?? .null, to: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
    }
}

private func quote(_ text: String, to bytes: inout [UInt8]) {
    let hex = Array("0123456789abcdef".utf8)
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(contentsOf: [UInt8(ascii: "\\"), byte])
        case 0x08: bytes.append(contentsOf: "\\b".utf8)
        case 0x09: bytes.append(contentsOf: "\\t".utf8)
        case 0x0a: bytes.append(contentsOf: "\\n".utf8)
        case 0x0c: bytes.append(contentsOf: "\\f".utf8)
        case 0x0d: bytes.append(contentsOf: "\\r".utf8)
        case 0..<0x20:
            bytes.append(contentsOf: "\\u00".utf8)
            bytes.append(hex[Int(byte >> 4)])
            bytes.append(hex[Int(byte & 15)])
        default: bytes.append(byte)
        }
    }
    bytes.append(UInt8(ascii: "\""))
}

/// Return a number as its shortest text, 0.00001, 1234.5, 1e16; throws JsonError for infinities and NaN.
func numberText(_ value: Double) throws -> String {
    guard value.isFinite else { throw JsonError("\(value) has no JSON") }
    let sign = value.sign == .minus ? "-" : ""
    if value == 0 { return sign + "0.0" }
    let (digits, point) = shortest(value.magnitude)
    if digits.count <= point && point <= 16 {
        return sign + digits + String(repeating: "0", count: point - digits.count) + ".0"
    }
    if (1...16).contains(point) {
        return "\(sign)\(digits.prefix(point)).\(digits.dropFirst(point))"
    }
    if (-4...0).contains(point) {
        return sign + "0." + String(repeating: "0", count: -point) + digits
    }
    let rest = digits.dropFirst()
    let mantissa = rest.isEmpty ? String(digits.prefix(1)) : "\(digits.prefix(1)).\(rest)"
    return "\(sign)\(mantissa)e\(point - 1)"
}

/// Return the fewest digits that are read as the same double, and how many of them stand before the point.
private func shortest(_ value: Double) -> (digits: String, point: Int) {
    let parts = value.description.split(separator: "e")
    let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
    let numbers = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    let whole = numbers[0]
    let fraction = numbers.count > 1 ? numbers[1] : ""
    let all = String(whole + fraction)
    let begin = all.prefix { $0 == "0" }.count
    var digits = all.dropFirst(begin)
    while digits.last == "0" {
        digits.removeLast()
    }
    return (String(digits), whole.count - begin + exponent)
}
