import XCTest

@testable import EdgeCore

private let tolerance = 1e-6  // of the largest value
private let exact = 1e-9  // where the reference computes in doubles

final class DecodeTests: XCTestCase {
    func testDetections() throws {
        try each("detection", 19) { name, contract, outputs, frame, result in
            let found = try PoseDetection(contract).decode(outputs, frame).items
            guard let result else { return }
            let golden = try Golden("decode/decode")
            assertNear(try golden.doubles(try result.required("scores")), found.map(\.score), exact, name)
            let boxes = found.flatMap { [$0.box.x0, $0.box.y0, $0.box.x1, $0.box.y1] }
            assertNear(try golden.doubles(try result.required("boxes")), boxes, exact, name)
            let points = found.flatMap(\.keypoints).flatMap { [$0.x, $0.y] }
            assertNear(try golden.doubles(try result.required("keypoints")), points, exact, name)
        }
    }

    func testLandmarks() throws {
        let golden = try Golden("decode/decode")
        try each("landmarks", 15) { name, contract, outputs, frame, result in
            let pose = try PoseLandmarks(contract).decode(outputs, frame)
            guard let result else { return }
            XCTAssertEqual(pose.found, try result.required("found").boolean(), name)
            let points = pose.points.flatMap { [$0.x, $0.y, $0.z] }
            assertNear(try golden.doubles(try result.required("points")), points, exact, name)
            assertNear(try golden.doubles(try result.required("visibility")), pose.visibility, exact, name)
            assertNear(try golden.doubles(try result.required("presence")), pose.presence, exact, name)
            let world = pose.world.flatMap { [$0.x, $0.y, $0.z] }
            assertNear(try golden.doubles(try result.required("world")), world, exact, name)
            if let mask = result["mask"], !mask.isNull {
                let found = try XCTUnwrap(pose.mask, name).map { Double($0) }
                assertNear(try golden.doubles(mask), found, tolerance, name)
            } else {
                XCTAssertNil(pose.mask, name)
            }
            if let next = result["next_region"], !next.isNull {
                let found = try XCTUnwrap(pose.nextRegion, name)
                let numbers = [found.centreX, found.centreY, found.side, found.rotation]
                assertNear(try next.items().map { try $0.double() }, numbers, exact, name)
            } else {
                XCTAssertNil(pose.nextRegion, name)
            }
        }
    }

    func testSegmentations() throws {
        let golden = try Golden("decode/decode")
        try each("segmentation", 28) { name, contract, outputs, frame, result in
            let found = try SegmentationTask(contract).decode(outputs, frame)
            guard let result else { return }
            XCTAssertEqual(found.classes.map { Int($0) }, try golden.integers(try result.required("classes")), name)
            XCTAssertEqual(found.labels, try result.required("labels").items().map { try $0.string() }, name)
            var layer = [UInt32](repeating: 0, count: found.classes.count)
            if let probability = result["probability"], !probability.isNull {
                let values = try XCTUnwrap(found.probability, name)
                assertNear(try golden.doubles(probability), values.map { Double($0) }, tolerance, name)
                try MaskLayer().draw(values, into: &layer)
            } else {
                XCTAssertNil(found.probability, name)
                try ClassLayer().draw(found.classes, into: &layer)
            }
            let expected = try golden.integers(try result.required("layer")).map { UInt32(truncatingIfNeeded: $0) }
            XCTAssertEqual(layer, expected, name)
        }
    }

    func testPanopticSegments() throws {
        let golden = try Golden("decode/decode")
        try each("panoptic", 20) { name, contract, outputs, frame, result in
            let found = try PanopticTask(contract).decode(outputs, frame)
            guard let result else { return }
            XCTAssertEqual(found.ids.map { Int($0) }, try golden.integers(try result.required("ids")), name)
            let expected = try result.required("segments").items().map { try $0.members() }
            XCTAssertEqual(found.segments.map(\.category), try expected.map { try $0.required("category").int() }, name)
            XCTAssertEqual(found.segments.map(\.label), try expected.map { try $0.required("label").string() }, name)
            XCTAssertEqual(found.segments.map(\.area), try expected.map { try $0.required("area").int() }, name)
            let things = try expected.map { try $0.required("is_thing").boolean() }
            XCTAssertEqual(found.segments.map(\.isThing), things, name)
            assertNear(try golden.doubles(try result.required("scores")), found.segments.map(\.score), tolerance, name)
        }
    }

    func testPictures() throws {
        let golden = try Golden("decode/decode")
        try each("picture", 5) { name, contract, outputs, _, result in
            let picture = try DetokenizationTask(contract).decode(outputs)
            guard let result else { return }
            XCTAssertEqual(picture.rgb.map { Int($0) }, try golden.integers(try result.required("pixels")), name)
        }
    }

    func testCodesArePackedAndUnpacked() throws {
        let golden = try Golden("decode/decode")
        for item in try golden.cases("codes") {
            let bits = try item.required("bits").int()
            let codes = try golden.integers(try item.required("codes"))
            guard let stated = item["packed"], !stated.isNull else {
                XCTAssertThrowsError(try packCodes(codes, bits: bits))
                continue
            }
            let packed = try golden.integers(stated).map { UInt8($0) }
            XCTAssertEqual(try packCodes(codes, bits: bits), packed)
            XCTAssertEqual(try unpackCodes(packed, count: codes.count, bits: bits), codes)
        }
        XCTAssertThrowsError(try unpackCodes([0xff, 0xff], count: 1))
        XCTAssertThrowsError(try unpackCodes([], count: -1))
        XCTAssertThrowsError(try packCodes([1], bits: 25))
    }

    private typealias Check = (String, Contract, [String: [Float]], Frame, JsonMembers?) throws -> Void

    /// Check the cases of a task; where the reference raises, so must the check, which is then given no result.
    private func each(_ task: String, _ count: Int, _ check: Check) throws {
        let golden = try Golden("decode/decode")
        let cases = try golden.cases().filter {
            let name = try $0.required("name").string()
            return name == task || name.hasPrefix("\(task)/")
        }
        XCTAssertEqual(cases.count, count)
        for item in cases {
            let name = try item.required("name").string()
            if try item.required("raises").boolean() {
                XCTAssertThrowsError(try attempt(item, name, golden, check), name)
            } else {
                try attempt(item, name, golden, check)
            }
        }
    }

    private func attempt(_ item: JsonMembers, _ name: String, _ golden: Golden, _ check: Check) throws {
        let contract = try readManifest(try item.required("manifest").json.write()).contract
        let given = try item.required("outputs").members()
        var outputs: [String: [Float]] = [:]
        for output in given.names {
            outputs[output] = try golden.floats(try given.required(output))
        }
        try check(name, contract, outputs, try frame(item, contract), try item["result"]?.members())
    }

    private func frame(_ item: JsonMembers, _ contract: Contract) throws -> Frame {
        let image = try size(try item.required("image_hw"))
        let tensor = try size(try item.required("tensor_hw"))
        if let region = item["region"], !region.isNull {
            let numbers = try region.items().map { try $0.double() }
            let square = Region(centreX: numbers[0], centreY: numbers[1], side: numbers[2], rotation: numbers[3])
            return Frame.cut(square, from: image, tensor)
        }
        return Frame.whole(image, tensor, resize: contract.preprocess?.resize ?? .stretch)
    }

    private func size(_ reader: JsonReader) throws -> SizeHw {
        let numbers = try reader.items().map { try $0.int() }
        return SizeHw(height: numbers[0], width: numbers[1])
    }
}
