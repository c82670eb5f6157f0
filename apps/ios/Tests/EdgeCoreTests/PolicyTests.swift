import XCTest

@testable import EdgeCore

final class PolicyTests: XCTestCase {
    func testEveryGoldenDecisionIsReproduced() throws {
        let golden = try Golden("policy")
        let constants = try golden.head.required("constants").members()
        XCTAssertEqual(Set(constants.names), Set(POLICY_CONSTANTS.keys))
        for name in constants.names {
            XCTAssertEqual(try constants.required(name).double(), POLICY_CONSTANTS[name], name)
        }
        let cases = try golden.cases()
        XCTAssertGreaterThan(cases.count, 300)
        for item in cases {
            let name = try item.required("name").string()
            var state = try self.state(try item.required("state"))
            for step in try item.required("steps").items() {
                let members = try step.members()
                let call = try self.call(try members.required("call"))
                try call.check()
                let found = decide(call, state, nowMs: try members.required("now_ms").int())
                XCTAssertEqual(found.decision, try decision(try members.required("decision")), name)
                XCTAssertEqual(found.state, try self.state(try members.required("state")), name)
                state = found.state
            }
        }
    }

    func testANumberThatNoCallHoldsIsRefused() {
        for number in [-1, Double.infinity, Double.nan] {
            var call = Call()
            call.deadlineMs = number
            XCTAssertThrowsError(try call.check())
        }
        var call = Call()
        call.payloadBytes = LARGEST + 1
        XCTAssertThrowsError(try call.check())
    }

    private func code<T: RawRepresentable>(_ reader: JsonReader) throws -> T where T.RawValue == String {
        try XCTUnwrap(T(rawValue: try reader.string()))
    }

    private func state(_ reader: JsonReader) throws -> PolicyState {
        let members = try reader.members(known: ["mode", "side", "since_ms", "streak", "last_ms"])
        return PolicyState(
            mode: try members.required("mode").orNull { try code($0) },
            side: try members.required("side").orNull { try code($0) },
            sinceMs: try members.required("since_ms").int(),
            streak: try members.required("streak").int(),
            lastMs: try members.required("last_ms").int()
        )
    }

    private func call(_ reader: JsonReader) throws -> Call {
        let members = try reader.members()
        var call = Call()
        call.mode = try code(try members.required("mode"))
        call.consent = try code(try members.required("consent"))
        call.dataClass = try code(try members.required("data_class"))
        call.payloadBytes = try members.required("payload_bytes").int()
        call.meteredCapBytes = try members.required("metered_cap_bytes").int()
        call.deadlineMs = try members.required("deadline_ms").orNull { try $0.double() }
        let model = try members.required("model").members()
        call.model.present = try model.required("present").boolean()
        call.model.supported = try model.required("supported").boolean()
        call.model.peakBytes = try model.required("peak_bytes").orNull { try $0.int() }
        call.model.p90Ms = try model.required("p90_ms").orNull { try $0.double() }
        call.model.sustainedRatio = try model.required("sustained_ratio").orNull { try $0.double() }
        try readDevice(try members.required("device"), &call.device)
        try readRemote(members, &call)
        return call
    }

    private func readDevice(_ reader: JsonReader, _ device: inout Device) throws {
        let members = try reader.members()
        device.availableBytes = try members.required("available_bytes").orNull { try $0.int() }
        device.thermal = try code(try members.required("thermal"))
        device.thermalHeadroom = try members.required("thermal_headroom").orNull { try $0.double() }
        device.batteryPercent = try members.required("battery_percent").orNull { try $0.double() }
        device.charging = try members.required("charging").orNull { try $0.boolean() }
        device.lowPower = try members.required("low_power").boolean()
    }

    private func readRemote(_ members: JsonMembers, _ call: inout Call) throws {
        let network = try members.required("network").members()
        call.network.online = try network.required("online").boolean()
        call.network.metered = try network.required("metered").orNull { try $0.boolean() }
        call.network.rttMs = try network.required("rtt_ms").orNull { try $0.double() }
        call.network.uplinkBitsPerS = try network.required("uplink_bits_per_s").orNull { try $0.double() }
        let server = try members.required("server").members()
        call.server.configured = try server.required("configured").boolean()
        call.server.breaker = try code(try server.required("breaker"))
        call.server.p90Ms = try server.required("p90_ms").orNull { try $0.double() }
        call.server.p95Ms = try server.required("p95_ms").orNull { try $0.double() }
        call.server.queueMs = try server.required("queue_ms").double()
    }

    private func decision(_ reader: JsonReader) throws -> Decision {
        let members = try reader.members()
        return Decision(
            runOn: Side(rawValue: try members.required("run_on").string()),
            reason: try code(try members.required("reason")),
            fallback: try members.required("fallback").orNull { try code($0) },
            uploadAllowed: try members.required("upload_allowed").boolean(),
            deadlineMissExpected: try members.required("deadline_miss_expected").boolean(),
            hedgeAfterMs: try members.required("hedge_after_ms").orNull { try $0.double() },
            timeoutMs: try members.required("timeout_ms").orNull { try $0.double() },
            deviceMs: try members.required("device_ms").orNull { try $0.double() },
            serverMs: try members.required("server_ms").orNull { try $0.double() },
            deviceBlocked: try members.required("device_blocked").orNull { try code($0) },
            serverBlocked: try members.required("server_blocked").orNull { try code($0) }
        )
    }
}
