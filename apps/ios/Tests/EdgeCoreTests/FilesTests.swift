import Foundation
import XCTest

@testable import EdgeCore

/// Answers from memory and keeps what was asked; a server as a test wants it, no mock of the downloader.
private final class MemoryHttp: Http {
    private let answer: @Sendable ([String: String]) -> (HttpHead, [Data])
    let asked = Locked<[[String: String]]>([])

    init(_ answer: @escaping @Sendable ([String: String]) -> (HttpHead, [Data])) {
        self.answer = answer
    }

    func get(_ url: URL, headers: [String: String]) async throws -> HttpStream {
        asked.with { $0.append(headers) }
        let (head, pieces) = answer(headers)
        let stream = AsyncThrowingStream<Data, any Error> { end in
            for piece in pieces { end.yield(piece) }
            end.finish()
        }
        return HttpStream(head: head, pieces: stream)
    }
}

final class FilesTests: XCTestCase {
    private let content = Data((0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) })
    private let url = URL(fileURLWithPath: "/model.bin")
    private var folder = URL(fileURLWithPath: "/")

    override func setUpWithError() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    override func tearDownWithError() throws {
        try FileManager.default.removeItem(at: folder)
    }

    func testTheDigestIsSha256() {
        XCTAssertEqual(digest(Data()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        XCTAssertEqual(digest(Data("abc".utf8)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        for length in [55, 56, 63, 64, 65, 1000] {  // around the padding's block
            let bytes = content.prefix(length)
            var own = Sha256()
            own.update(Data(bytes.prefix(length / 3)))
            own.update(Data(bytes.dropFirst(length / 3)))
            XCTAssertEqual(Digest.hex(own.finalized()), digest(Data(bytes)))
        }
    }

    func testAFileIsFetchedOnce() async throws {
        let bytes = content
        let http = MemoryHttp { _ in (HttpHead(status: 200, headers: [:]), [bytes.prefix(10), bytes.dropFirst(10)]) }
        let place = try await Downloader(http: http).fetch(entry, from: url, into: folder)
        XCTAssertEqual(try Data(contentsOf: place), content)
        _ = try await Downloader(http: http).fetch(entry, from: url, into: folder)
        XCTAssertEqual(http.asked.with { $0.count }, 1)
        XCTAssertFalse(FileManager.default.fileExists(atPath: part.path))
    }

    func testACutDownloadGoesOnWhereItEnded() async throws {
        let bytes = content
        let cut = MemoryHttp { _ in (HttpHead(status: 200, headers: [:]), [bytes.prefix(400)]) }
        await assertRefused(cut, canResume: true)
        let rest = MemoryHttp { headers in
            XCTAssertEqual(headers["Range"], "bytes=400-")
            let head = HttpHead(status: 206, headers: ["content-range": "bytes 400-999/1000", "content-length": "600"])
            return (head, [bytes.dropFirst(400)])
        }
        let place = try await Downloader(http: rest).fetch(entry, from: url, into: folder)
        XCTAssertEqual(try Data(contentsOf: place), content)
    }

    func testAnotherRangeThanAskedForIsRefused() async throws {
        try content.prefix(400).write(to: part)
        let bytes = content
        for range in ["bytes 0-999/1000", "bytes 401-999/1000", "bytes 400-999/1001", nil] {
            let headers = range.map { ["content-range": $0] } ?? [:]
            let http = MemoryHttp { _ in (HttpHead(status: 206, headers: headers), [bytes.dropFirst(400)]) }
            await assertRefused(http, canResume: false)
        }
    }

    func testAServerThatLiesIsRefused() async throws {
        let bytes = content
        var other = content
        other[3] ^= 1
        let changed = other
        let answers: [(HttpHead, [Data])] = [
            (HttpHead(status: 200, headers: [:]), [changed]),
            (HttpHead(status: 200, headers: [:]), [bytes, Data([1])]),
            (HttpHead(status: 200, headers: ["content-length": "999"]), [bytes]),
            (HttpHead(status: 404, headers: [:]), [Data("no".utf8)]),
            (HttpHead(status: 302, headers: [:]), []),
        ]
        for answer in answers {
            let http = MemoryHttp { _ in answer }
            await assertRefused(http, canResume: false)
            XCTAssertFalse(FileManager.default.fileExists(atPath: folder.appendingPathComponent("model.bin").path))
        }
    }

    private var entry: FileEntry { FileEntry(name: "model.bin", bytes: 1000, sha256: digest(content)) }

    private var part: URL { folder.appendingPathComponent("model.bin.part") }

    private func assertRefused(_ http: MemoryHttp, canResume: Bool, line: UInt = #line) async {
        do {
            _ = try await Downloader(http: http).fetch(entry, from: url, into: folder)
            XCTFail("it was taken", line: line)
        } catch {
            XCTAssertEqual((error as? DownloadError)?.canResume, canResume, "\(error)", line: line)
        }
    }
}
