// Requests are compared byte for byte, so numbers are written as the reference writes them.

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
