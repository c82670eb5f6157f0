import Foundation
import XCTest

@testable import EdgeCore

final class ManifestTests: XCTestCase {
    func testEveryGoldenManifestIsTakenOrRefused() throws {
        let golden = try Golden("manifest/cases")
        let cases = try golden.cases()
        let full = try text(cases.first { try $0.required("name").string() == "full" })
        XCTAssertGreaterThan(cases.count, 200)
        for item in cases {
            let name = try item.required("name").string()
            let bytes = try self.bytes(item, full: full)
            let verdict = try item.required("verdict").string()
            guard verdict == "accept", item["stricter"] == nil else {
                XCTAssertThrowsError(try readManifest(bytes: bytes), name) { error in
                    XCTAssertEqual((error as? ManifestError)?.isNewer, verdict == "newer-schema", name)
                }
                continue
            }
            let expected = try readManifest(try item.required("read").json.write())  // with every default
            XCTAssertEqual(try readManifest(bytes: bytes), expected, name)
        }
    }

    private func text(_ item: JsonMembers?) throws -> Json {
        let found = try XCTUnwrap(item)
        return try parseJson(try found.required("text").string())
    }

    private func bytes(_ item: JsonMembers, full: Json) throws -> [UInt8] {
        if let text = item["text"] { return Array(try text.string().utf8) }
        if let bytes = item["base64"] { return try base64(bytes) }
        var edited = full
        for edit in try item.required("edits").items() {
            let members = try edit.members()
            if let path = members["remove"] {
                edited = try changed(edited, Array(try path.string().split(separator: ".")), to: nil)
            } else {
                let path = try members.required("set").string().split(separator: ".")
                edited = try changed(edited, Array(path), to: try members.required("to").json)
            }
        }
        return Array(edited.write().utf8)
    }

    private func changed(_ value: Json, _ path: [Substring], to new: Json?) throws -> Json {
        guard let first = path.first else { return new ?? .null }
        let rest = Array(path.dropFirst())
        switch value {
        case .array(var items):
            let index = try XCTUnwrap(Int(first))
            if rest.isEmpty && new == nil {
                items.remove(at: index)
            } else {
                items[index] = try changed(items[index], rest, to: new)
            }
            return .array(items)
        case .object(let object):
            var found = JsonObject()
            for name in object.names where !(name == first && rest.isEmpty && new == nil) {
                let member = object[name] ?? .null
                _ = found.add(name, try name == first ? changed(member, rest, to: new) : member)
            }
            if object[String(first)] == nil, let new { _ = found.add(String(first), new) }
            return .object(found)
        default:
            throw JsonError("nothing to change at \(first)")
        }
    }
}
