import Foundation
import XCTest

@testable import EdgeCore

/// Doubles its input, after a while if it is told so; it stands for a runtime, which no test machine has.
private struct Doubling: Engine {
    var waitMs = 0.0
    var failure: EngineUnsupported?

    func run(_ inputs: [String: [Float]]) throws -> [String: [Float]] {
        if let failure { throw failure }
        if waitMs > 0 { Thread.sleep(forTimeInterval: waitMs / 1000) }
        return ["y": (inputs["x"] ?? []).map { 2 * $0 }]
    }
}

/// Answers from memory, as a server would over the network.
private final class MemoryTransport: Transport {
    private let answer: @Sendable (HttpRequest) async throws -> Reply
    let asked = Locked(0)
    let closed = Locked(0)

    init(_ answer: @escaping @Sendable (HttpRequest) async throws -> Reply) {
        self.answer = answer
    }

    func send(_ request: HttpRequest, wire: Wire, connectMs: Double) async throws -> Reply {
        asked.with { $0 += 1 }
        wire.note { moments in
            moments.connecting = nowMs()
            moments.sending = nowMs()
            moments.sent = nowMs()
        }
        let reply = request.method == "GET" ? metadata : try await answer(request)
        wire.note { $0.head = nowMs() }
        return reply
    }

    func disconnect() async {
        closed.with { $0 += 1 }
    }

    private var metadata: Reply {
        let text = #"{"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":[1,2]}],"#
            + #""outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]}]}"#
        return Reply(status: 200, body: Array(text.utf8))
    }
}

final class RunnerTests: XCTestCase {
    func testTheDeviceAnswersAndNothingIsSent() async throws {
        let transport = MemoryTransport { _ in RunnerTests.answer }
        let runner = try self.runner(transport, mode: .onlyOnDevice)
        let answer = try await runner.call(input)
        XCTAssertEqual(answer.result["y"], [2, 4])
        XCTAssertEqual(answer.ranOn, .device)
        XCTAssertEqual(transport.asked.with { $0 }, 0)
    }

    func testWithoutConsentNothingIsSent() async throws {
        let transport = MemoryTransport { _ in RunnerTests.answer }
        let runner = try self.runner(transport, mode: .onlyServer)
        for consent in [Consent.unset, .denied] {
            await runner.setConsent(consent)
            await assertThrows(Unavailable.self) { _ = try await runner.call(self.input) }
        }
        XCTAssertEqual(transport.asked.with { $0 }, 0)
    }

    func testTheServerAnswers() async throws {
        let runner = try self.runner(MemoryTransport { _ in RunnerTests.answer }, mode: .onlyServer)
        await runner.setConsent(.granted)
        let answer = try await runner.call(input)
        XCTAssertEqual(answer.result["y"], [7, 8])
        XCTAssertEqual(answer.ranOn, .server)
        XCTAssertEqual(answer.attempts.map(\.outcome), [.answered])
    }

    func testTheDeviceTakesOverFromAServerThatLies() async throws {
        let transport = MemoryTransport { _ in Reply(status: 200, body: Array("{}".utf8)) }
        let runner = try self.runner(transport, mode: .preferServer)
        await runner.setConsent(.granted)
        let answer = try await runner.call(input)
        XCTAssertEqual(answer.ranOn, .device)
        XCTAssertTrue(answer.fellBack)
        XCTAssertEqual(answer.attempts.map(\.outcome), [.failed, .answered])
    }

    func testARetryGoesToABusyServerOnce() async throws {
        let transport = MemoryTransport { _ in Reply(status: 503, body: Array(#"{"error":"full"}"#.utf8)) }
        let runner = try self.runner(transport, mode: .onlyServer)
        await runner.setConsent(.granted)
        await assertThrows(CallFailed.self) { _ = try await runner.call(self.input) }
        XCTAssertEqual(transport.asked.with { $0 }, 3)  // the model, the request, one more
    }

    func testASilentServerIsLeftAtTheDeadline() async throws {
        let transport = MemoryTransport { _ in
            try await Task.sleep(nanoseconds: 60_000_000_000)
            return RunnerTests.answer
        }
        let runner = try self.runner(transport, mode: .onlyServer)
        await runner.setConsent(.granted)
        await assertThrows(DeadlineMissed.self) { _ = try await runner.call(self.input, deadlineMs: 100) }
    }

    func testConsentThatIsTakenBackEndsTheRequest() async throws {
        let isAsking = expectation(description: "a request is on its way")
        let transport = MemoryTransport { _ in
            isAsking.fulfill()
            try await Task.sleep(nanoseconds: 60_000_000_000)
            return RunnerTests.answer
        }
        let runner = try self.runner(transport, mode: .preferServer)
        await runner.setConsent(.granted)
        let input = self.input
        let call = Task { try await runner.call(input) }
        await fulfillment(of: [isAsking], timeout: 10)
        await runner.setConsent(.denied)
        XCTAssertEqual(transport.closed.with { $0 }, 1)
        let answer = try await call.value
        XCTAssertEqual(answer.ranOn, .device)
        XCTAssertEqual(answer.attempts.map(\.outcome), [.cancelled, .answered])
    }

    func testAnEngineThatIsNotSupportedIsNotTriedAgain() async throws {
        let runner = try FallbackRunner(local: try device { throw EngineUnsupported("no such unit") })
        await assertThrows(CallFailed.self) { _ = try await runner.call(self.input) }
        await assertThrows(Unavailable.self) { _ = try await runner.call(self.input) }
    }

    private static let answer: Reply = {
        let text = #"{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[7,8]}]}"#
        return Reply(status: 200, body: Array(text.utf8))
    }()

    private var input: Input<[String: [Float]]> { Input.of(["x": [1, 2]]) }

    private func contract() throws -> Contract {
        try Contract(
            inputs: [try TensorSpec(name: "x", shape: [1, 2])], outputs: [try TensorSpec(name: "y", shape: [1, 2])]
        )
    }

    private func device(_ open: @escaping @Sendable () throws -> any Engine) throws -> OnDevice {
        OnDevice(contract: try contract(), model: "m", modelSha256: "", open: open)
    }

    private func runner(_ transport: MemoryTransport, mode: Mode) throws -> FallbackRunner {
        try FallbackRunner(
            local: try device { Doubling() },
            endpoint: try Endpoint("http://localhost:9", model: "m"),
            policy: Policy(mode: mode, dataClass: .mayUpload),
            transport: transport
        )
    }

    private func assertThrows<E: Error>(
        _ kind: E.Type, line: UInt = #line, _ body: () async throws -> Void
    ) async {
        do {
            try await body()
            XCTFail("nothing was thrown", line: line)
        } catch {
            XCTAssertTrue(error is E, "\(error)", line: line)
        }
    }
}
