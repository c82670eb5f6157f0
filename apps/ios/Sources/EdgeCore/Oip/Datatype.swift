import Foundation

/// The protocol's datatypes.
///
/// Raw values are little-endian and row-major; an element of BYTES is 4 bytes of length and then as many bytes.
public enum Datatype: String, CaseIterable, Sendable {
    case bool = "BOOL"
    case uint8 = "UINT8"
    case uint16 = "UINT16"
    case uint32 = "UINT32"
    case uint64 = "UINT64"
    case int8 = "INT8"
    case int16 = "INT16"
    case int32 = "INT32"
    case int64 = "INT64"
    case fp16 = "FP16"
    case fp32 = "FP32"
    case fp64 = "FP64"
    case bf16 = "BF16"
    case bytes = "BYTES"

    /// The size of one element on the wire; nil for BYTES, whose elements differ.
    public var size: Int? {
        switch self {
        case .bool, .uint8, .int8: return 1
        case .uint16, .int16, .fp16, .bf16: return 2
        case .uint32, .int32, .fp32: return 4
        case .uint64, .int64, .fp64: return 8
        case .bytes: return nil
        }
    }

    var isFloat: Bool { self == .fp16 || self == .fp32 || self == .fp64 || self == .bf16 }

    /// The least and the largest whole number of an integer type of at most 32 bits, or of BOOL.
    var range: ClosedRange<Int>? {
        switch self {
        case .bool: return 0...1
        case .uint8: return 0...255
        case .uint16: return 0...65_535
        case .uint32: return 0...4_294_967_295
        case .uint64: return 0...Int.max
        case .int8: return -128...127
        case .int16: return -32_768...32_767
        case .int32: return -2_147_483_648...2_147_483_647
        case .int64: return Int.min...Int.max
        case .fp16, .fp32, .fp64, .bf16, .bytes: return nil
        }
    }
}

/// Return the protocol's datatype of a manifest's.
public func datatypeOf(_ dtype: DType) -> Datatype {
    switch dtype {
    case .float32: return .fp32
    case .float16: return .fp16
    case .int64: return .int64
    case .int32: return .int32
    case .int16: return .int16
    case .int8: return .int8
    case .uint8: return .uint8
    case .bool: return .bool
    }
}

/// Return how many elements a shape has, `Int.max` for more than an Int holds.
func elementCount(_ shape: [Int]) -> Int {
    if shape.contains(0) { return 0 }
    return shape.reduce(1, saturatedTimes)
}

/// Return the product of two numbers from 0, `Int.max` where it is more.
func saturatedTimes(_ a: Int, _ b: Int) -> Int {
    let (product, overflows) = a.multipliedReportingOverflow(by: b)
    return overflows ? Int.max : product
}

private let halfInfinity: UInt16 = 0x7c00

/// Return the bits of the half nearest to a number, ties to even; infinity from 65,520.
func halfBits(_ value: Double) -> UInt16 {
    if value.isNaN { return 0x7e00 }
    let size = value.magnitude
    let sign: UInt16 = value.sign == .minus ? 0x8000 : 0
    if size >= 65_520 { return sign | halfInfinity }
    if size < 1.0 / 16_384 {
        return sign | UInt16((size * 16_777_216).rounded(.toNearestOrEven))
    }
    let exponent = Int(size.exponent)
    let scaled = Double(sign: .plus, exponent: 10 - exponent, significand: size)
    let mantissa = Int(scaled.rounded(.toNearestOrEven))  // 1024 to 2048, which carries over
    return sign | UInt16(((exponent + 15) << 10) + mantissa - 1024)
}

/// Return a half's value, exactly.
func halfValue(_ bits: UInt16) -> Float {
    let exponent = Int((bits >> 10) & 0x1f)
    let mantissa = Int(bits & 0x3ff)
    let size: Float
    switch exponent {
    case 0: size = Float(sign: .plus, exponent: -24, significand: Float(mantissa))
    case 0x1f: size = mantissa == 0 ? Float.infinity : Float.nan
    default: size = Float(sign: .plus, exponent: exponent - 25, significand: Float(mantissa + 1024))
    }
    return bits & 0x8000 == 0 ? size : -size
}

/// Return the upper half of a float, rounded to nearest even; NaN stays NaN.
func bfloatBits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if value.isNaN { return UInt16(bits >> 16) | 0x40 }
    return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ ((bits >> 16) & 1)) >> 16)
}
