package edge.core.policy

import kotlin.math.max
import kotlin.math.min

/** A decision and the state for the next one. */
data class Decided(val decision: Decision, val state: State)

/**
 * Return where to run the call and the state for the next one; docs/policy.md is the specification.
 *
 * `nowMs` is a monotonic clock's. Nothing is read, written or changed. All arithmetic is in double precision, in the
 * order of the specification.
 */
fun decide(call: Call, state: State, nowMs: Long): Decided {
    require(nowMs in 0..LARGEST) { "nowMs is $nowMs; give a clock's reading from 0 to 2^53 milliseconds" }
    val view = View(call)
    val kept = remember(call, state, nowMs)
    return when {
        call.deadlineMs == 0.0 || (view.deviceBlocked != null && view.serverBlocked != null) ->
            Decided(unavailable(call, view), kept)
        view.deviceBlocked != null -> Decided(run(call, view, Side.SERVER, view.deviceBlocked), kept)
        view.serverBlocked != null -> Decided(run(call, view, Side.DEVICE, view.serverBlocked), kept)
        else -> choose(call, view, fresh(call, state, nowMs), nowMs)
    }
}

/** A call's derived quantities: which sides are open, and their times. */
private class View(call: Call) {
    val deviceBlocked = deviceBlock(call)
    val serverBlocked = serverBlock(call)
    val hot = isHot(call)
    val low = isLow(call)
    val deviceMs = deviceMs(call, hot)
    val serverMs = serverMs(call, call.server.p90Ms)
    val hedgeBaseMs = serverMs(call, call.server.p95Ms ?: call.server.p90Ms) // the server's p95, as the device sees it

    /** Whether the device should work only where it must. */
    val spared: Boolean get() = hot || low

    fun blocked(side: Side) = if (side == Side.DEVICE) deviceBlocked else serverBlocked

    fun expectedMs(side: Side) = if (side == Side.DEVICE) deviceMs else serverMs
}

private fun deviceBlock(call: Call): Reason? {
    val peak = call.model.peakBytes
    val available = call.device.availableBytes
    return when {
        call.mode == Mode.ONLY_SERVER -> Reason.MODE_ONLY_SERVER
        !call.model.present -> Reason.MODEL_ABSENT
        !call.model.supported -> Reason.UNIT_UNSUPPORTED
        peak != null && available != null && peak.toDouble() > MEMORY_SHARE * available.toDouble() ->
            Reason.MEMORY_SHORT
        else -> null
    }
}

/** Privacy stands before reachability, so that an app that may not send learns nothing about the network. */
private fun serverBlock(call: Call): Reason? = when {
    call.mode == Mode.ONLY_ON_DEVICE -> Reason.MODE_ONLY_ON_DEVICE
    call.consent == Consent.DENIED -> Reason.CONSENT_DENIED
    call.consent == Consent.UNSET -> Reason.CONSENT_UNSET
    call.dataClass == DataClass.LOCAL_ONLY -> Reason.DATA_LOCAL_ONLY
    !call.server.configured -> Reason.NO_SERVER
    !call.network.online -> Reason.OFFLINE
    call.server.breaker == BreakerState.OPEN -> Reason.BREAKER_OPEN
    call.network.metered != false && call.payloadBytes > call.meteredCapBytes -> Reason.OVER_METERED_CAP
    else -> null
}

internal fun isHot(call: Call): Boolean {
    val headroom = call.device.thermalHeadroom
    return call.device.thermal.isHot || (headroom != null && headroom >= HOT_HEADROOM)
}

private fun isLow(call: Call): Boolean {
    val battery = call.device.batteryPercent
    val empty = battery != null && battery < LOW_BATTERY_PERCENT && call.device.charging != true
    return empty || call.device.lowPower
}

private fun deviceMs(call: Call, hot: Boolean): Double? =
    call.model.p90Ms?.let { min(it * thermalFactor(call, hot), LONGEST_MS) }

private fun thermalFactor(call: Call, hot: Boolean): Double {
    val sustained = call.model.sustainedRatio
    return when {
        !hot && call.device.thermal != Thermal.MODERATE -> 1.0
        sustained != null -> max(1.0, sustained)
        else -> if (hot) HOT_FACTOR else MODERATE_FACTOR
    }
}

private fun serverMs(call: Call, quantileMs: Double?): Double? {
    val rtt = call.network.rttMs ?: return null
    val uplink = call.network.uplinkBitsPerS ?: return null
    if (quantileMs == null) return null
    val upload = if (uplink == 0.0) LONGEST_MS else call.payloadBytes.toDouble() * 8000.0 / uplink
    return min(rtt + upload + call.server.queueMs + quantileMs, LONGEST_MS)
}

/** Return the state, or an empty one after another mode, a long pause or a clock that went back. */
private fun fresh(call: Call, state: State, nowMs: Long): State {
    val known = state.mode == call.mode && nowMs - state.lastMs in 0..FORGET_MS
    return if (known) state else State(mode = call.mode, sinceMs = nowMs, lastMs = nowMs)
}

/** Return the state after a call that had no choice: the side stays, the streak ends. */
private fun remember(call: Call, state: State, nowMs: Long): State =
    fresh(call, state, nowMs).copy(mode = call.mode, streak = 0, lastMs = nowMs)

/** Choose between two open sides. */
private fun choose(call: Call, view: View, state: State, nowMs: Long): Decided {
    val (preferred, why) = preference(call, view, state.side)
    fun lateness(side: Side) = lateness(view.expectedMs(side), call.deadlineMs)
    val best = if (lateness(preferred) <= lateness(preferred.other)) preferred else preferred.other
    val after = step(state, nowMs, best, preferred, ::lateness)
    var side = after.side ?: best
    if (lateness(side.other) < URGENT_BELOW * lateness(side)) side = side.other
    val reason = if (side == preferred) why else Reason.DEADLINE
    return Decided(run(call, view, side, if (side == best) reason else Reason.HELD), after)
}

/** Return the side that runs unless the other is better by enough, and why. */
private fun preference(call: Call, view: View, side: Side?): Pair<Side, Reason> {
    if (call.mode == Mode.PREFER_SERVER) return Side.SERVER to Reason.PREFERRED
    if (view.hot) return Side.SERVER to Reason.DEVICE_HOT
    if (view.low && view.deviceMs != null && view.serverMs != null) {
        val multiple = if (side == Side.SERVER) ENERGY_STAY else ENERGY_ENTER
        if (view.serverMs <= multiple * view.deviceMs) return Side.SERVER to Reason.ENERGY_LOW
    }
    return Side.DEVICE to Reason.PREFERRED
}

/** Return what is compared: equal for sides that meet the deadline; an unknown time is taken to meet it. */
private fun lateness(expectedMs: Double?, deadlineMs: Double?): Double = when {
    deadlineMs == null -> 0.0
    expectedMs == null -> deadlineMs
    else -> max(expectedMs, deadlineMs)
}

/** Return the next state: the side changes after enough calls in a row that wanted it, and not too soon. */
private fun step(state: State, nowMs: Long, best: Side, preferred: Side, lateness: (Side) -> Double): State {
    val side = state.side ?: return State(state.mode, best, nowMs, 0, nowMs)
    val here = lateness(side)
    val there = lateness(side.other)
    val wants = if (side == preferred) there < SWITCH_BELOW * here else there <= here
    val streak = if (wants) min(state.streak + 1, SWITCH_CALLS) else 0
    if (streak == SWITCH_CALLS && nowMs - state.sinceMs >= DWELL_MS) {
        return State(state.mode, side.other, nowMs, 0, nowMs)
    }
    return state.copy(streak = streak, lastMs = nowMs)
}

private fun run(call: Call, view: View, side: Side, reason: Reason): Decision {
    val expected = view.expectedMs(side)
    val spare = if (view.blocked(side.other) == null) side.other else null
    val timeout = if (side == Side.SERVER && call.deadlineMs == null) SERVER_TIMEOUT_MS else call.deadlineMs
    return decision(
        view, side, reason,
        fallback = spare,
        late = expected != null && call.deadlineMs != null && expected > call.deadlineMs,
        hedge = if (side == Side.SERVER && spare == Side.DEVICE) hedgeAfter(call, view, timeout) else null,
        timeout = timeout,
    )
}

/** Return when the device starts beside a silent server: at its p95, or while there is still time. */
private fun hedgeAfter(call: Call, view: View, timeoutMs: Double?): Double? {
    var after = view.hedgeBaseMs
    if (call.deadlineMs != null && view.deviceMs != null) {
        val latest = call.deadlineMs - view.deviceMs
        val inVain = view.spared && after != null && latest < after // the server is likely to answer in between
        if (latest < 0 || inVain) return null
        after = if (after == null || view.spared) latest else min(after, latest)
    } else if (view.spared) {
        return null
    }
    return if (after == null || (timeoutMs != null && after >= timeoutMs)) null else after
}

/** Name what keeps the call from the side that its mode names first. */
private fun unavailable(call: Call, view: View): Decision {
    val first = if (call.mode.namesDeviceFirst) view.deviceBlocked else view.serverBlocked
    val reason = if (call.deadlineMs == 0.0 || first == null) Reason.DEADLINE_PASSED else first
    return decision(view, null, reason, fallback = null, late = false, hedge = null, timeout = null)
}

private fun decision(
    view: View,
    runOn: Side?,
    reason: Reason,
    fallback: Side?,
    late: Boolean,
    hedge: Double?,
    timeout: Double?,
) = Decision(
    runOn = runOn,
    reason = reason,
    fallback = fallback,
    uploadAllowed = runOn == Side.SERVER || fallback == Side.SERVER,
    deadlineMissExpected = late,
    hedgeAfterMs = hedge,
    timeoutMs = timeout,
    deviceMs = view.deviceMs,
    serverMs = view.serverMs,
    deviceBlocked = view.deviceBlocked,
    serverBlocked = view.serverBlocked,
)
