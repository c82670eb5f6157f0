import Foundation
import XCTest

@testable import EdgeCore

final class OipTests: XCTestCase {
    func testRequestsAreTheReferencesBytes() throws {
        for item in try Golden("oip/requests").cases() {
            let name = try item.required("name").string()
            let inputs = try item.required("inputs").items().map { try tensor(try $0.members()) }
            let message = encodeRequest(
                inputs,
                outputs: try item["outputs"]?.items().map { try $0.string() } ?? [],
                id: try item["id"]?.string() ?? "",
                timeoutUs: try item["timeout_us"]?.orNull { try $0.int() },
                priority: try item["priority"]?.int() ?? 0
            )
            XCTAssertEqual(message.body, try base64(try item.required("body")), name)
            XCTAssertEqual(message.jsonBytes, try item.required("json_bytes").int(), name)
        }
    }

    func testPicturesAreTheReferencesBytes() throws {
        for item in try Golden("oip/pictures").cases() {
            let region: Region? = try item.required("region").orNull { reader in
                let numbers = try reader.items().map { try $0.double() }
                return Region(centreX: numbers[0], centreY: numbers[1], side: numbers[2], rotation: numbers[3])
            }
            let picture = try base64(try item.required("picture"))
            let tensor = try pictureTensor("image", encoded: picture, region: region)
            let message = encodeRequest([tensor], timeoutUs: 1_000_000)
            XCTAssertEqual(message.body, try base64(try item.required("body")))
            XCTAssertEqual(message.jsonBytes, try item.required("json_bytes").int())
        }
    }

    func testAnswersAreTakenOrRefused() throws {
        for item in try Golden("oip/responses").cases() {
            let name = try item.required("name").string()
            let expected = try item.required("expected").items().map { reader -> TensorMetadata in
                let members = try reader.members()
                return TensorMetadata(
                    name: try members.required("name").string(),
                    datatype: try readDatatype(try members.required("datatype")),
                    shape: try members.required("shape").items().map { try $0.int() }
                )
            }
            let body = try base64(try item.required("body"))
            let header = try item.required("header").orNull { try $0.string() }
            guard try item.required("accept").boolean() else {
                XCTAssertThrowsError(try parseResponse(body, headerLength: header, expected: expected), name) { error in
                    XCTAssertEqual((error as? ServeError)?.kind, .answerError, name)
                }
                continue
            }
            let found = try parseResponse(body, headerLength: header, expected: expected)
            XCTAssertEqual(found.modelName, try item.required("model_name").string(), name)
            XCTAssertEqual(found.modelVersion, try item.required("model_version").string(), name)
            for output in try item.required("outputs").items() {
                let wanted = try tensor(try output.members())
                let given = try XCTUnwrap(found.outputs[wanted.name], name)
                XCTAssertEqual(given.raw, wanted.raw, name)
                XCTAssertEqual(given.shape, wanted.shape, name)
                XCTAssertEqual(given.datatype, wanted.datatype, name)
            }
        }
    }

    func testErrorsAreNamed() throws {
        for item in try Golden("oip/errors").cases() {
            let found = parseError(
                status: try item.required("status").int(), body: try base64(try item.required("body")),
                retryAfter: try item.required("retry_after").string()
            )
            XCTAssertEqual(found.kind.rawValue, try item.required("kind").string())
            XCTAssertEqual(found.description, try item.required("message").string())
            XCTAssertEqual(found.retryAfterS, try item.required("retry_after_s").orNull { try $0.int() })
        }
    }

    func testAServersModelFitsOrNot() throws {
        for item in try Golden("oip/metadata").cases() {
            let name = try item.required("name").string()
            let body = try base64(try item.required("body"))
            guard let given = item["contract"] else {
                if try !item.required("accept").boolean() { XCTAssertThrowsError(try readMetadata(body), name) }
                continue
            }
            let contract = try self.contract(try given.members())
            guard try item.required("accept").boolean() else {
                XCTAssertThrowsError(try checkContract(try readMetadata(body), contract), name)
                continue
            }
            let served = try checkContract(try readMetadata(body), contract)
            XCTAssertEqual(served.pictures, try item.required("pictures").boolean(), name)
            XCTAssertEqual(served.toServer, try axes(try item.required("to_server")), name)
            XCTAssertEqual(served.fromServer, try axes(try item.required("from_server")), name)
        }
    }

    func testHalvesAreExact() {
        for bits in UInt16.min...UInt16.max where bits & 0x7c00 != 0x7c00 {
            XCTAssertEqual(halfBits(Double(halfValue(bits))), bits)
        }
    }

    private func tensor(_ members: JsonMembers) throws -> Tensor {
        Tensor(
            name: try members.required("name").string(),
            datatype: try readDatatype(try members.required("datatype")),
            shape: try members.required("shape").items().map { try $0.int() },
            raw: try base64(try members.required("raw"))
        )
    }

    private func contract(_ members: JsonMembers) throws -> Contract {
        func specs(_ name: String) throws -> [TensorSpec] {
            try members.required(name).items().map { item in
                let spec = try item.members()
                return try TensorSpec(
                    name: try spec.required("name").string(),
                    shape: try spec.required("shape").items().map { try $0.int() },
                    dtype: try XCTUnwrap(DType(rawValue: try spec["dtype"]?.string() ?? "float32")),
                    layout: try XCTUnwrap(Layout(rawValue: try spec["layout"]?.string() ?? ""))
                )
            }
        }
        return try Contract(inputs: try specs("inputs"), outputs: try specs("outputs"))
    }

    private func axes(_ reader: JsonReader) throws -> [String: [Int]] {
        let members = try reader.members()
        var found: [String: [Int]] = [:]
        for name in members.names {
            found[name] = try members.required(name).orNull { try $0.items().map { try $0.int() } }
        }
        return found
    }
}
