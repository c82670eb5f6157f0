import Foundation
import XCTest

@testable import EdgeCore

/// Golden vectors that the Python reference wrote: a JSON file, and beside it the values of its arrays.
struct Golden {
    let head: JsonMembers
    private let values: [UInt8]

    /// Read `name.json`, and `name.bin` where there is one.
    init(_ name: String) throws {
        let folder = Golden.folder
        let text = try String(contentsOf: folder.appendingPathComponent("\(name).json"), encoding: .utf8)
        head = try JsonReader(try parseJson(text)).members()
        let data = try? Data(contentsOf: folder.appendingPathComponent("\(name).bin"))
        values = data.map { [UInt8]($0) } ?? []
    }

    /// The folder with the vectors: the environment's EDGE_GOLDEN, or the one of this checkout.
    static var folder: URL {
        if let stated = ProcessInfo.processInfo.environment["EDGE_GOLDEN"] { return URL(fileURLWithPath: stated) }
        let apps = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return apps.appendingPathComponent("shared").appendingPathComponent("golden")
    }

    func cases(_ key: String = "cases") throws -> [JsonMembers] {
        try head.required(key).items().map { try $0.members() }
    }

    /// Return an array's elements as doubles, whatever its type.
    func doubles(_ reader: JsonReader) throws -> [Double] {
        let members = try reader.members()
        let at = try members.required("at").int()
        let count = try members.required("shape").items().reduce(1) { try $0 * $1.int() }
        let dtype = try members.required("dtype").string()
        return try (0..<count).map { index in
            switch dtype {
            case "uint8": return Double(values[at + index])
            case "int8": return Double(Int8(bitPattern: values[at + index]))
            case "uint16": return Double(values.littleEndian(at: at + 2 * index, bytes: 2))
            case "int32": return Double(Int32(truncatingIfNeeded: values.littleEndian(at: at + 4 * index, bytes: 4)))
            case "int64": return Double(Int64(bitPattern: values.littleEndian(at: at + 8 * index, bytes: 8)))
            case "float32":
                let bits = UInt32(truncatingIfNeeded: values.littleEndian(at: at + 4 * index, bytes: 4))
                return Double(Float(bitPattern: bits))
            case "float64": return Double(bitPattern: values.littleEndian(at: at + 8 * index, bytes: 8))
            default: throw JsonError("no such dtype: \(dtype)")
            }
        }
    }

    func floats(_ reader: JsonReader) throws -> [Float] { try doubles(reader).map { Float($0) } }

    func integers(_ reader: JsonReader) throws -> [Int] { try doubles(reader).map { Int($0) } }
}

/// Return the bytes of base64 text.
func base64(_ reader: JsonReader) throws -> [UInt8] {
    guard let data = Data(base64Encoded: try reader.string()) else { throw reader.failure("base64 was expected") }
    return [UInt8](data)
}

/// Check values against expected ones, relative to the largest; what is not a number has to be so on both sides.
func assertNear(
    _ expected: [Double], _ found: [Double], _ tolerance: Double, _ name: String, file: StaticString = #filePath,
    line: UInt = #line
) {
    guard expected.count == found.count else {
        XCTFail("\(name): \(found.count) values, \(expected.count) expected", file: file, line: line)
        return
    }
    let scale = expected.filter(\.isFinite).map(\.magnitude).max() ?? 1
    for (index, pair) in zip(expected, found).enumerated() {
        let isEqual = pair.0 == pair.1 || (pair.0.isNaN && pair.1.isNaN)
        if !isEqual && !(abs(pair.0 - pair.1) <= tolerance * max(scale, 1)) {
            XCTFail("\(name)[\(index)]: \(pair.1), \(pair.0) expected", file: file, line: line)
            return
        }
    }
}
