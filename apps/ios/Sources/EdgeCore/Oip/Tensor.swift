private let exactInFloat = 1 << 24

/// A named tensor of `shape`, held as it is on the wire; its values are never shown in messages.
///
/// `raw` has as many bytes as shape and datatype say; of BYTES its elements fill it.
public struct Tensor: Equatable, Sendable, CustomStringConvertible {
    public let name: String
    public let datatype: Datatype
    public let shape: [Int]
    public let raw: [UInt8]
    public let parameters: JsonObject

    init(name: String, datatype: Datatype, shape: [Int], raw: [UInt8], parameters: JsonObject = JsonObject()) {
        self.name = name
        self.datatype = datatype
        self.shape = shape
        self.raw = raw
        self.parameters = parameters
    }

    public var count: Int { elementCount(shape) }

    public var description: String { "Tensor(\(shown(name)), \(datatype.rawValue), \(shape))" }

    /// Return floats (shape, row-major) as a tensor of a datatype; FP16 and BF16 round.
    ///
    /// Throws ContractError where a value is none of the datatype's, as 0.5 is no INT64, or the shape is another.
    public static func of(
        _ name: String, _ shape: [Int], _ values: [Float], datatype: Datatype = .fp32
    ) throws -> Tensor {
        guard shape.allSatisfy({ $0 >= 0 }), elementCount(shape) == values.count else {
            throw ContractError("tensor \(name): \(values.count) values do not fill the shape \(shape)")
        }
        guard let size = datatype.size else { throw ContractError("tensor \(name): floats are no BYTES") }
        var raw: [UInt8] = []
        raw.reserveCapacity(values.count * size)
        for value in values {
            raw.append(littleEndian: try bits(of: value, datatype, name), bytes: size)
        }
        return Tensor(name: name, datatype: datatype, shape: shape, raw: raw)
    }

    /// Return whole numbers (shape, row-major) as a tensor of INT64; throws ContractError for another shape.
    public static func of(_ name: String, _ shape: [Int], _ values: [Int]) throws -> Tensor {
        guard shape.allSatisfy({ $0 >= 0 }), elementCount(shape) == values.count else {
            throw ContractError("tensor \(name): \(values.count) values do not fill the shape \(shape)")
        }
        var raw: [UInt8] = []
        raw.reserveCapacity(values.count * 8)
        for value in values {
            raw.append(littleEndian: UInt64(bitPattern: Int64(value)), bytes: 8)
        }
        return Tensor(name: name, datatype: .int64, shape: shape, raw: raw)
    }

    /// Return elements, such as encoded pictures, as a BYTES tensor of shape [n].
    public static func of(
        _ name: String, elements: [[UInt8]], parameters: JsonObject = JsonObject()
    ) -> Tensor {
        Tensor(name: name, datatype: .bytes, shape: [elements.count], raw: joined(elements), parameters: parameters)
    }

    /// Return the values (shape, row-major) as floats.
    ///
    /// Throws ServeError for BYTES, and for whole numbers beyond 2^24, which a float does not hold.
    public func floats() throws -> [Float] {
        guard let size = datatype.size else { throw failure("BYTES holds no numbers") }
        return try (0..<count).map { index in
            let bits = raw.littleEndian(at: index * size, bytes: size)
            switch datatype {
            case .fp32: return Float(bitPattern: UInt32(truncatingIfNeeded: bits))
            case .fp16: return halfValue(UInt16(truncatingIfNeeded: bits))
            case .bf16: return Float(bitPattern: UInt32(truncatingIfNeeded: bits) << 16)
            case .fp64: return Float(Double(bitPattern: bits))
            default: return try exact(try whole(bits))
            }
        }
    }

    /// Return whole numbers (shape, row-major); throws ServeError for other datatypes and UINT64 beyond 2^63.
    public func integers() throws -> [Int] {
        guard let size = datatype.size, !datatype.isFloat else {
            throw failure("\(datatype.rawValue) holds no whole numbers")
        }
        return try (0..<count).map { try whole(raw.littleEndian(at: $0 * size, bytes: size)) }
    }

    /// Return the elements of BYTES; throws ServeError for other datatypes.
    public func elements() throws -> [[UInt8]] {
        guard datatype == .bytes else { throw failure("it is \(datatype.rawValue), not BYTES") }
        var at = 0
        return (0..<count).map { _ in
            let length = Int(raw.littleEndian(at: at, bytes: 4))
            defer { at += 4 + length }
            return Array(raw[(at + 4)..<(at + 4 + length)])
        }
    }

    private func whole(_ bits: UInt64) throws -> Int {
        switch datatype {
        case .int8: return Int(Int8(truncatingIfNeeded: bits))
        case .int16: return Int(Int16(truncatingIfNeeded: bits))
        case .int32: return Int(Int32(truncatingIfNeeded: bits))
        case .int64: return Int(Int64(bitPattern: bits))
        default:
            guard let found = Int(exactly: bits) else { throw failure("a value is beyond 2^63") }
            return found
        }
    }

    private func exact(_ value: Int) throws -> Float {
        guard (-exactInFloat...exactInFloat).contains(value) else { throw failure("a value is beyond 2^24") }
        return Float(value)
    }

    private func failure(_ what: String) -> ServeError {
        ServeError(.answerError, "tensor \(shown(name)): \(what)")
    }
}

/// Return a float's bits as an element of a datatype.
private func bits(of value: Float, _ datatype: Datatype, _ name: String) throws -> UInt64 {
    switch datatype {
    case .fp32: return UInt64(value.bitPattern)
    case .fp16: return UInt64(halfBits(Double(value)))
    case .bf16: return UInt64(bfloatBits(value))
    case .fp64: return Double(value).bitPattern
    default:
        guard let whole = Int(exactly: value), let range = datatype.range, range.contains(whole) else {
            throw ContractError("tensor \(name): \(value) is no \(datatype.rawValue)")
        }
        return UInt64(truncatingIfNeeded: whole)
    }
}

/// Return elements of BYTES as they are on the wire.
func joined(_ elements: [[UInt8]]) -> [UInt8] {
    var raw: [UInt8] = []
    raw.reserveCapacity(elements.reduce(0) { $0 + $1.count + 4 })
    for element in elements {
        raw.append(littleEndian: UInt64(element.count), bytes: 4)
        raw.append(contentsOf: element)
    }
    return raw
}

extension Array where Element == UInt8 {
    /// Add the lower bytes of a number, the lowest first.
    mutating func append(littleEndian value: UInt64, bytes: Int) {
        for index in 0..<bytes {
            append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index)))
        }
    }

    /// Return the number of some bytes, the lowest first; they have to be there.
    func littleEndian(at place: Int, bytes: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<bytes {
            value |= UInt64(self[place + index]) << UInt64(8 * index)
        }
        return value
    }
}
