import Foundation
import XCTest

@testable import EdgeCore

final class ImageTests: XCTestCase {
    /// Camera planes of Android and turned sources have no counterpart here: AVFoundation hands over upright BGRA.
    func testEveryGoldenPictureBecomesItsTensor() throws {
        let golden = try Golden("preprocess/preprocess")
        let sources = try golden.head.required("sources").members()
        var checked = 0
        for item in try golden.cases() {
            let source = try sources.required(try item.required("source").string()).members()
            guard try source.required("kind").string() != "yuv", try item.required("turn").int() == 0 else { continue }
            let picture = try self.picture(source, golden)
            let contract = try self.contract(item)
            let region: Region? = try item.required("region").orNull { reader in
                let numbers = try reader.items().map { try $0.double() }
                return Region(centreX: numbers[0], centreY: numbers[1], side: numbers[2], rotation: numbers[3])
            }
            var values = [Float](repeating: 0, count: contract.inputs[0].count)
            let frame = try preprocess(picture, contract, region: region, into: &values)
            try check(item, golden, frame, values, contract.inputs[0].dtype)
            checked += 1
        }
        XCTAssertGreaterThan(checked, 40)
    }

    func testABgraBufferWithPaddedRowsGivesTheSame() throws {
        let picture = pattern(width: 37, height: 23)
        let rowBytes = 37 * 4 + 12
        var bgra = [UInt8](repeating: 7, count: rowBytes * 23)
        for y in 0..<23 {
            for x in 0..<37 {
                let from = (y * 37 + x) * 3
                let to = y * rowBytes + x * 4
                bgra[to] = picture.rgb[from + 2]
                bgra[to + 1] = picture.rgb[from + 1]
                bgra[to + 2] = picture.rgb[from]
            }
        }
        let contract = try imageContract()
        let preprocessor = try Preprocessor(contract)
        var expected = [Float](repeating: 0, count: contract.inputs[0].count)
        var found = expected
        _ = try picture.withPixels { try preprocessor.run($0, into: &expected) }
        _ = try bgra.withUnsafeBufferPointer { bytes in
            let pixels = Pixels(bytes: bytes, width: 37, height: 23, rowBytes: rowBytes, layout: .bgra)
            return try preprocessor.run(pixels, into: &found)
        }
        XCTAssertEqual(found, expected)
    }

    func testWhatIsNotWholeIsRefused() throws {
        let contract = try imageContract()
        let preprocessor = try Preprocessor(contract)
        var short = [Float](repeating: 0, count: 3)
        XCTAssertThrowsError(try pattern(width: 4, height: 4).withPixels { try preprocessor.run($0, into: &short) })
        XCTAssertThrowsError(try Picture(width: 2, height: 2, rgb: [1, 2, 3]))
        XCTAssertThrowsError(try Picture(width: 1 << 40, height: 1 << 40, rgb: []))
    }

    func testARegionThatIsNoNumberEndsNothing() throws {
        let contract = try imageContract()
        var values = [Float](repeating: 0, count: contract.inputs[0].count)
        let region = Region(centreX: .nan, centreY: .infinity, side: .nan, rotation: .nan)
        _ = try preprocess(pattern(width: 8, height: 8), contract, region: region, into: &values)
    }

    func testTheLatestFrameIsTheOneThatIsTaken() {
        let slot = LatestFrame<Int>()
        XCTAssertNil(slot.take())
        for number in 1...3 { slot.publish(number) }
        XCTAssertEqual(slot.take(), 3)
        XCTAssertNil(slot.take())
        XCTAssertEqual(slot.dropped, 2)
        slot.close()
        slot.publish(4)
        XCTAssertNil(slot.take())
    }

    private func imageContract() throws -> Contract {
        let spec = try TensorSpec(name: "image", shape: [1, 3, 12, 16], layout: .nchw)
        return try Contract(inputs: [spec], preprocess: try Preprocess(size: SizeHw(height: 12, width: 16)))
    }

    private func check(
        _ item: JsonMembers, _ golden: Golden, _ frame: Frame, _ values: [Float], _ dtype: DType
    ) throws {
        let name = try item.required("name").string()
        let matrix = frame.matrix
        let numbers = [matrix.xx, matrix.xy, matrix.x0, matrix.yx, matrix.yy, matrix.y0]
        assertNear(try golden.doubles(try item.required("matrix")), numbers, 1e-12, name)
        let input = try item.required("input")
        if let stated = try input.members()["sha256"] {
            var bytes = Data()
            for value in values {
                withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
            }
            XCTAssertEqual(digest(bytes), try stated.string(), name)
            return
        }
        // A half has 11 bits; everything else is equal to the last one.
        assertNear(try golden.doubles(input), values.map { Double($0) }, dtype == .float16 ? 1e-3 : 0, name)
    }

    private func contract(_ item: JsonMembers) throws -> Contract {
        // The manifest's reader reads the same two objects.
        let manifest = jsonOf([
            "model": .string("golden"), "task": .string("tensors"), "target": .string("coreml"),
            "precision": .string("fp32"), "files": .array([]), "outputs": .array([]), "steps": .array([]),
            "inputs": .array([try item.required("spec").json]), "preprocess": try item.required("preprocess").json,
            "source": jsonOf(["sha256": .string("")]), "needs": jsonOf(["min_runtime": .string("")]),
        ])
        return try readManifest(manifest.write()).contract
    }

    private func picture(_ source: JsonMembers, _ golden: Golden) throws -> Picture {
        if try source.required("kind").string() == "pattern" {
            return pattern(width: try source.required("width").int(), height: try source.required("height").int())
        }
        let rgb = try source.required("rgb")
        let shape = try rgb.members().required("shape").items().map { try $0.int() }
        return try Picture(width: shape[1], height: shape[0], rgb: try golden.integers(rgb).map { UInt8($0) })
    }

    private func pattern(width: Int, height: Int) -> Picture {
        var rgb: [UInt8] = []
        for y in 0..<height {
            for x in 0..<width {
                for c in 0..<3 {
                    rgb.append(UInt8(truncatingIfNeeded: x * (3 + c) + y * (5 - c) + x * y))
                }
            }
        }
        do {
            return try Picture(width: width, height: height, rgb: rgb)
        } catch {
            fatalError("the pattern is no picture: \(error)")
        }
    }
}
