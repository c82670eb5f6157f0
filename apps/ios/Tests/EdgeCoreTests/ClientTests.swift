import XCTest

@testable import EdgeCore

final class ClientTests: XCTestCase {
    func testTheBreakerOpensAndClosesAsTheReferences() throws {
        for item in try Golden("client").cases("breaker") {
            let name = try item.required("name").string()
            let clock = Locked(try item.required("began_ms").double())
            let breaker = Breaker { clock.with { $0 } }
            var admissions: [Int: Admission] = [:]
            for step in try item.required("steps").items() {
                let members = try step.members()
                let passed = try members.required("pass_ms").double()
                clock.with { $0 += passed }
                if let number = try members["admit"]?.int() {
                    let admission = breaker.admit()
                    XCTAssertEqual(admission != nil, try members.required("admitted").boolean(), name)
                    if let admission {
                        XCTAssertEqual(admission.isProbe, try members.required("probe").boolean(), name)
                    }
                    admissions[number] = admission
                } else {
                    let result = try members.required("result").string()
                    let verdict: Health = result == "failed" ? .failed : result == "succeeded" ? .succeeded : .undecided
                    admissions[try members.required("settle").int()]?.settle(verdict)
                }
                XCTAssertEqual(breaker.state.rawValue, try members.required("state").string(), name)
            }
        }
    }

    func testTheBudgetIsTheReferences() throws {
        for item in try Golden("client").cases("budget") {
            var budget = RetryBudget()
            for step in try item.required("steps").items() {
                if step.isNull {
                    budget.earn()
                } else {
                    XCTAssertEqual(budget.spend(), try step.boolean())
                }
            }
        }
    }

    func testTheDevicesEstimatesAreTheReferences() throws {
        for item in try Golden("client").cases("device") {
            let profiled = try item.required("profiled_p90_ms").orNull { try $0.double() }
            var estimates = DeviceEstimates(profiledP90Ms: profiled)
            for step in try item.required("steps").items() {
                let members = try step.members()
                let now = try members.required("now_ms").double()
                estimates.observe(
                    try members.required("duration_ms").double(), nowMs: now,
                    isCool: try members.required("cool").boolean()
                )
                XCTAssertEqual(estimates.p90Ms(nowMs: now), try members.required("p90_ms").orNull { try $0.double() })
            }
        }
    }

    func testTheServersEstimatesAreTheReferences() throws {
        for item in try Golden("client").cases("server") {
            var estimates = ServerEstimates()
            for step in try item.required("steps").items() {
                let members = try step.members()
                let now = try members.required("now_ms").double()
                try learn(&estimates, members, now)
                XCTAssertEqual(estimates.rttMs.value, try members.required("rtt_ms").orNull { try $0.double() })
                XCTAssertEqual(estimates.queueMs(nowMs: now), try members.required("queue_ms").double())
                let quantiles = try members.required("quantiles").items().map { try $0.orNull { try $0.double() } }
                XCTAssertEqual(quantiles.count, 5)
                for (share, expected) in zip([0, 0.5, 0.9, 0.95, 1], quantiles) {
                    XCTAssertEqual(estimates.times.quantile(share, nowMs: now), expected)
                }
            }
        }
    }

    func testTimesHaveTheReferencesLimits() throws {
        let head = try Golden("client").head
        for item in try head.required("connect_limits").items() {
            let parts = try item.items()
            let found = connectLimitMs(leftMs: try parts[0].double(), hasSpare: try parts[1].boolean())
            XCTAssertEqual(found, try parts[2].double())
        }
        for item in try head.required("retry_delays").items() {
            let parts = try item.items()
            let drawn = try parts[1].double()
            let found = retryDelayMs(retryAfterS: try parts[0].orNull { try $0.int() }) { drawn }
            XCTAssertEqual(found, try parts[2].double(), accuracy: 1e-9)
        }
        for item in try head.required("leaves_time").items() {
            let parts = try item.items()
            let expected = try parts[1].orNull { try $0.double() }
            let found = leavesTime(delayMs: try parts[0].double(), expectedMs: expected, leftMs: try parts[2].double())
            XCTAssertEqual(found, try parts[3].boolean())
        }
    }

    func testAddressesAreTakenOrRefused() throws {
        for item in try Golden("client").cases("addresses") {
            let url = try item.required("url").string()
            let model = try item.required("model").string()
            let version = try item.required("version").string()
            let token = try item.required("token").string()
            let plain = try item.required("plain_http").boolean()
            if try item.required("accept").boolean() {
                XCTAssertNoThrow(
                    try Endpoint(url, model: model, version: version, token: token, plainHttp: plain), url
                )
            } else {
                XCTAssertThrowsError(
                    try Endpoint(url, model: model, version: version, token: token, plainHttp: plain), url
                )
            }
        }
    }

    private func learn(_ estimates: inout ServerEstimates, _ members: JsonMembers, _ now: Double) throws {
        if let observed = try members["observe"]?.members() {
            let exchange = Exchange(
                payloadBytes: try observed.required("payload_bytes").int(),
                sendMs: try observed.required("send_ms").double(),
                waitMs: try observed.required("wait_ms").double(),
                serverMs: try observed.required("server_ms").orNull { try $0.double() },
                connectMs: try observed.required("connect_ms").orNull { try $0.double() }
            )
            estimates.observe(exchange, nowMs: now)
        }
        if let seconds = try members["retry_after_s"]?.int() { estimates.announced(retryAfterS: seconds, nowMs: now) }
        if let after = try members["gave_up_ms"]?.double() { estimates.gaveUp(afterMs: after, nowMs: now) }
    }
}
