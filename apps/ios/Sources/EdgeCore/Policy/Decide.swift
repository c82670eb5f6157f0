/// Return where to run the call and the state for the next one; docs/policy.md is the specification.
///
/// `nowMs` is a monotonic clock's. Nothing is read, written or changed.
public func decide(_ call: Call, _ state: PolicyState, nowMs: Int) -> (decision: Decision, state: PolicyState) {
    let view = CallView(call)
    let fresh = freshState(call, state, nowMs)
    let kept = PolicyState(mode: call.mode, side: fresh.side, sinceMs: fresh.sinceMs, streak: 0, lastMs: nowMs)
    if call.deadlineMs == 0 || (view.deviceBlocked != nil && view.serverBlocked != nil) {
        return (unavailable(call, view), kept)
    }
    if let block = view.deviceBlocked { return (run(call, view, on: .server, block), kept) }
    if let block = view.serverBlocked { return (run(call, view, on: .device, block), kept) }
    return choose(call, view, fresh, nowMs)
}

/// Return the state, or an empty one after another mode, a long pause or a clock that went back.
private func freshState(_ call: Call, _ state: PolicyState, _ nowMs: Int) -> PolicyState {
    let away = nowMs - state.lastMs
    if state.mode == call.mode && away >= 0 && away <= FORGET_MS { return state }
    return PolicyState(mode: call.mode, sinceMs: nowMs, lastMs: nowMs)
}

/// What is compared, by side: equal for sides that meet the deadline; an unknown time is taken to meet it.
private struct Lateness {
    let deviceMs: Double
    let serverMs: Double

    init(_ view: CallView, deadlineMs: Double?) {
        deviceMs = Lateness.of(view.deviceMs, deadlineMs)
        serverMs = Lateness.of(view.serverMs, deadlineMs)
    }

    subscript(side: Side) -> Double { side == .device ? deviceMs : serverMs }

    private static func of(_ expectedMs: Double?, _ deadlineMs: Double?) -> Double {
        guard let deadlineMs else { return 0 }
        return expectedMs.map { max($0, deadlineMs) } ?? deadlineMs
    }
}

/// Choose between two open sides.
private func choose(
    _ call: Call, _ view: CallView, _ state: PolicyState, _ nowMs: Int
) -> (decision: Decision, state: PolicyState) {
    let (preferred, why) = preference(call, view, state.side)
    let lateness = Lateness(view, deadlineMs: call.deadlineMs)
    let best = lateness[preferred] <= lateness[preferred.other] ? preferred : preferred.other
    let after = step(state, nowMs, best: best, preferred: preferred, lateness)
    var side = after.side ?? best
    if lateness[side.other] < URGENT_BELOW * lateness[side] { side = side.other }
    let reason: Reason = side == preferred ? why : .deadline
    return (run(call, view, on: side, side == best ? reason : .held), after)
}

/// Return the side that runs unless the other is better by enough, and why.
private func preference(_ call: Call, _ view: CallView, _ side: Side?) -> (Side, Reason) {
    if call.mode == .preferServer { return (.server, .preferred) }
    if view.isHot { return (.server, .deviceHot) }
    if view.isLow, let deviceMs = view.deviceMs, let serverMs = view.serverMs {
        let multiple = side == .server ? ENERGY_STAY : ENERGY_ENTER
        if serverMs <= multiple * deviceMs { return (.server, .energyLow) }
    }
    return (.device, .preferred)
}

/// Return the next state: the side changes after enough calls in a row that wanted it, and not too soon.
private func step(
    _ state: PolicyState, _ nowMs: Int, best: Side, preferred: Side, _ lateness: Lateness
) -> PolicyState {
    guard let side = state.side else {
        return PolicyState(mode: state.mode, side: best, sinceMs: nowMs, streak: 0, lastMs: nowMs)
    }
    let here = lateness[side]
    let there = lateness[side.other]
    let wants = side == preferred ? there < SWITCH_BELOW * here : there <= here
    let streak = wants ? min(state.streak + 1, SWITCH_CALLS) : 0
    if streak == SWITCH_CALLS && nowMs - state.sinceMs >= DWELL_MS {
        return PolicyState(mode: state.mode, side: side.other, sinceMs: nowMs, streak: 0, lastMs: nowMs)
    }
    return PolicyState(mode: state.mode, side: side, sinceMs: state.sinceMs, streak: streak, lastMs: nowMs)
}

private func run(_ call: Call, _ view: CallView, on side: Side, _ reason: Reason) -> Decision {
    let expected = side == .device ? view.deviceMs : view.serverMs
    let otherBlocked = side == .device ? view.serverBlocked : view.deviceBlocked
    let spare: Side? = otherBlocked == nil ? side.other : nil
    var isLate = false
    if let expected, let deadlineMs = call.deadlineMs { isLate = expected > deadlineMs }
    let timeout = side == .server && call.deadlineMs == nil ? SERVER_TIMEOUT_MS : call.deadlineMs
    let hedge = side == .server && spare == .device ? hedgeAfter(call, view, timeout) : nil
    return Decision(
        runOn: side, reason: reason, fallback: spare, uploadAllowed: side == .server || spare == .server,
        deadlineMissExpected: isLate, hedgeAfterMs: hedge, timeoutMs: timeout, deviceMs: view.deviceMs,
        serverMs: view.serverMs, deviceBlocked: view.deviceBlocked, serverBlocked: view.serverBlocked
    )
}

/// Return when the device starts beside a server that has not answered: at its p95, or while there is still time.
private func hedgeAfter(_ call: Call, _ view: CallView, _ timeoutMs: Double?) -> Double? {
    var after = view.hedgeBaseMs
    if let deadlineMs = call.deadlineMs, let deviceMs = view.deviceMs {
        let latest = deadlineMs - deviceMs
        if latest < 0 { return nil }
        if let base = after {
            if view.isSpared && latest < base { return nil }  // the server is likely to answer in between
            after = view.isSpared ? latest : min(base, latest)
        } else {
            after = latest
        }
    } else if view.isSpared {
        return nil
    }
    guard let found = after else { return nil }
    if let timeoutMs, found >= timeoutMs { return nil }
    return found
}

/// Name what keeps the call from the side that its mode names first.
private func unavailable(_ call: Call, _ view: CallView) -> Decision {
    let first = call.mode.namesDeviceFirst ? view.deviceBlocked : view.serverBlocked
    let reason: Reason = call.deadlineMs == 0 ? .deadlinePassed : first ?? .deadlinePassed
    return Decision(
        runOn: nil, reason: reason, fallback: nil, uploadAllowed: false, deadlineMissExpected: false,
        hedgeAfterMs: nil, timeoutMs: nil, deviceMs: view.deviceMs, serverMs: view.serverMs,
        deviceBlocked: view.deviceBlocked, serverBlocked: view.serverBlocked
    )
}
