"""Decide where a model runs: one pure function, written to be the same in every language.

docs/policy.md is its specification, apps/shared/golden/policy.json its golden vectors. All arithmetic is in double
precision, in the order written.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from edge.serve.call import Call, Decision, DeviceBlock, Preference, Reason, RunOn, ServerBlock, Side, State

MEMORY_SHARE = 0.5  # of the available memory that a run may take
HOT = frozenset({"severe", "critical", "emergency", "shutdown"})
HOT_HEADROOM = 1.0
HOT_FACTOR = 2.0
MODERATE_FACTOR = 1.3
LOW_BATTERY_PERCENT = 15.0
ENERGY_ENTER = 1.2  # with little energy, the server is preferred up to this multiple of the device's time
ENERGY_STAY = 1.5  # and kept up to this one
SWITCH_BELOW = 0.8  # more than 20 % better
SWITCH_CALLS = 3
DWELL_MS = 5_000
URGENT_BELOW = 0.5  # more than twice as good: this call does not wait for the others
FORGET_MS = 60_000
SERVER_TIMEOUT_MS = 10_000.0
LONGEST_MS = 1e9  # keeps every estimate finite

CONSTANTS = MappingProxyType(
    {
        "memory_share": MEMORY_SHARE,
        "hot_headroom": HOT_HEADROOM,
        "hot_factor": HOT_FACTOR,
        "moderate_factor": MODERATE_FACTOR,
        "low_battery_percent": LOW_BATTERY_PERCENT,
        "energy_enter": ENERGY_ENTER,
        "energy_stay": ENERGY_STAY,
        "switch_below": SWITCH_BELOW,
        "switch_calls": float(SWITCH_CALLS),
        "dwell_ms": float(DWELL_MS),
        "urgent_below": URGENT_BELOW,
        "forget_ms": float(FORGET_MS),
        "server_timeout_ms": SERVER_TIMEOUT_MS,
        "longest_ms": LONGEST_MS,
    }
)


@dataclass(frozen=True, slots=True)
class _View:
    """A call's derived quantities: which sides are open, and their times."""

    device_blocked: DeviceBlock | None
    server_blocked: ServerBlock | None
    device_ms: float | None
    server_ms: float | None
    hedge_base_ms: float | None  # the server's p95, as the device sees it
    hot: bool
    low: bool

    @property
    def spared(self) -> bool:
        """Say whether the device should work only where it must."""
        return self.hot or self.low


def decide(call: Call, state: State, now_ms: int) -> tuple[Decision, State]:
    """Return where to run the call and the state for the next one.

    `now_ms` is a monotonic clock's. Nothing is read, written or changed.
    """
    view = _view(call)
    kept = _remember(call, state, now_ms)
    if call.deadline_ms == 0 or (view.device_blocked and view.server_blocked):
        return _unavailable(call, view), kept
    if view.device_blocked:
        return _run(call, view, "server", view.device_blocked), kept
    if view.server_blocked:
        return _run(call, view, "device", view.server_blocked), kept
    return _choose(call, view, state=_fresh(call, state, now_ms), now_ms=now_ms)


def _view(call: Call) -> _View:
    hot = _is_hot(call)
    return _View(
        device_blocked=_device_block(call),
        server_blocked=_server_block(call),
        device_ms=_device_ms(call, hot),
        server_ms=_server_ms(call, call.server.p90_ms),
        hedge_base_ms=_server_ms(call, call.server.p90_ms if call.server.p95_ms is None else call.server.p95_ms),
        hot=hot,
        low=_is_low(call),
    )


def _device_block(call: Call) -> DeviceBlock | None:
    peak, available = call.model.peak_bytes, call.device.available_bytes
    if call.mode == "only-server":
        return "mode_only_server"
    if not call.model.present:
        return "model_absent"
    if not call.model.supported:
        return "unit_unsupported"
    if peak is not None and available is not None and peak > MEMORY_SHARE * available:
        return "memory_short"
    return None


def _server_block(call: Call) -> ServerBlock | None:
    if call.mode == "only-on-device":
        return "mode_only_on_device"
    return _privacy_block(call) or _reach_block(call)


def _privacy_block(call: Call) -> ServerBlock | None:
    if call.consent != "granted":
        return "consent_denied" if call.consent == "denied" else "consent_unset"
    return None if call.data_class == "may_upload" else "data_local_only"


def _reach_block(call: Call) -> ServerBlock | None:
    if not call.server.configured:
        return "no_server"
    if not call.network.online:
        return "offline"
    if call.server.breaker == "open":
        return "breaker_open"
    if call.network.metered is not False and call.payload_bytes > call.metered_cap_bytes:
        return "over_metered_cap"
    return None


def _is_hot(call: Call) -> bool:
    headroom = call.device.thermal_headroom
    return call.device.thermal in HOT or (headroom is not None and headroom >= HOT_HEADROOM)


def _is_low(call: Call) -> bool:
    battery = call.device.battery_percent
    empty = battery is not None and battery < LOW_BATTERY_PERCENT and call.device.charging is not True
    return empty or call.device.low_power


def _device_ms(call: Call, hot: bool) -> float | None:
    if call.model.p90_ms is None:
        return None
    return min(call.model.p90_ms * _thermal_factor(call, hot), LONGEST_MS)


def _thermal_factor(call: Call, hot: bool) -> float:
    if not hot and call.device.thermal != "moderate":
        return 1.0
    if call.model.sustained_ratio is not None:
        return max(1.0, call.model.sustained_ratio)
    return HOT_FACTOR if hot else MODERATE_FACTOR


def _server_ms(call: Call, quantile_ms: float | None) -> float | None:
    rtt, uplink = call.network.rtt_ms, call.network.uplink_bits_per_s
    if rtt is None or uplink is None or quantile_ms is None:
        return None
    upload = LONGEST_MS if uplink == 0 else call.payload_bytes * 8000.0 / uplink
    return min(rtt + upload + call.server.queue_ms + quantile_ms, LONGEST_MS)


def _fresh(call: Call, state: State, now_ms: int) -> State:
    """Return the state, or an empty one after another mode, a long pause or a clock that went back."""
    away = now_ms - state.last_ms
    known = state.mode == call.mode and 0 <= away <= FORGET_MS
    return state if known else State(mode=call.mode, since_ms=now_ms, last_ms=now_ms)


def _remember(call: Call, state: State, now_ms: int) -> State:
    """Return the state after a call that had no choice: the side stays, the streak ends."""
    kept = _fresh(call, state, now_ms)
    return State(mode=call.mode, side=kept.side, since_ms=kept.since_ms, streak=0, last_ms=now_ms)


def _choose(call: Call, view: _View, *, state: State, now_ms: int) -> tuple[Decision, State]:
    """Choose between two open sides."""
    preferred, why = _preference(call, view, state.side)
    lateness: dict[Side, float] = {
        "device": _lateness(view.device_ms, call.deadline_ms),
        "server": _lateness(view.server_ms, call.deadline_ms),
    }
    best = preferred if lateness[preferred] <= lateness[_other(preferred)] else _other(preferred)
    after = _step(state, now_ms, best=best, preferred=preferred, lateness=lateness)
    side = after.side or best
    if lateness[_other(side)] < URGENT_BELOW * lateness[side]:
        side = _other(side)
    reason: Reason = why if side == preferred else "deadline"
    return _run(call, view, side, reason if side == best else "held"), after


def _preference(call: Call, view: _View, side: Side | None) -> tuple[Side, Preference]:
    """Return the side that runs unless the other is better by enough, and why."""
    if call.mode == "prefer-server":
        return "server", "preferred"
    if view.hot:
        return "server", "device_hot"
    if view.low and view.device_ms is not None and view.server_ms is not None:
        multiple = ENERGY_STAY if side == "server" else ENERGY_ENTER
        if view.server_ms <= multiple * view.device_ms:
            return "server", "energy_low"
    return "device", "preferred"


def _lateness(expected_ms: float | None, deadline_ms: float | None) -> float:
    """Return what is compared: equal for sides that meet the deadline; an unknown time is taken to meet it."""
    if deadline_ms is None:
        return 0.0
    return deadline_ms if expected_ms is None else max(expected_ms, deadline_ms)


def _step(state: State, now_ms: int, *, best: Side, preferred: Side, lateness: dict[Side, float]) -> State:
    """Return the next state: the side changes after enough calls in a row that wanted it, and not too soon."""
    if state.side is None:
        return State(mode=state.mode, side=best, since_ms=now_ms, streak=0, last_ms=now_ms)
    here, there = lateness[state.side], lateness[_other(state.side)]
    wants = there < SWITCH_BELOW * here if state.side == preferred else there <= here
    streak = min(state.streak + 1, SWITCH_CALLS) if wants else 0
    if streak == SWITCH_CALLS and now_ms - state.since_ms >= DWELL_MS:
        return State(mode=state.mode, side=_other(state.side), since_ms=now_ms, streak=0, last_ms=now_ms)
    return State(mode=state.mode, side=state.side, since_ms=state.since_ms, streak=streak, last_ms=now_ms)


def _other(side: Side) -> Side:
    return "server" if side == "device" else "device"


def _run(call: Call, view: _View, side: Side, reason: Reason) -> Decision:
    expected = view.device_ms if side == "device" else view.server_ms
    spare: Side | None = _other(side)
    if (view.server_blocked if side == "device" else view.device_blocked) is not None:
        spare = None
    late = expected is not None and call.deadline_ms is not None and expected > call.deadline_ms
    timeout = SERVER_TIMEOUT_MS if side == "server" and call.deadline_ms is None else call.deadline_ms
    hedge = _hedge_after(call, view, timeout) if side == "server" and spare == "device" else None
    return _decision(view, side, reason, fallback=spare, late=late, hedge=hedge, timeout=timeout)


def _hedge_after(call: Call, view: _View, timeout_ms: float | None) -> float | None:
    """Return when the device starts beside a server that has not answered: at its p95, or while there is still time."""
    after = view.hedge_base_ms
    if call.deadline_ms is not None and view.device_ms is not None:
        latest = call.deadline_ms - view.device_ms
        in_vain = view.spared and after is not None and latest < after  # the server is likely to answer in between
        if latest < 0 or in_vain:
            return None
        after = latest if after is None or view.spared else min(after, latest)
    elif view.spared:
        return None
    return None if after is None or (timeout_ms is not None and after >= timeout_ms) else after


def _unavailable(call: Call, view: _View) -> Decision:
    """Name what keeps the call from the side that its mode names first."""
    first = view.device_blocked if call.mode in ("only-on-device", "prefer-on-device") else view.server_blocked
    reason: Reason = "deadline_passed" if call.deadline_ms == 0 or first is None else first
    return _decision(view, "unavailable", reason, fallback=None, late=False, hedge=None, timeout=None)


def _decision(
    view: _View,
    run_on: RunOn,
    reason: Reason,
    *,
    fallback: Side | None,
    late: bool,
    hedge: float | None,
    timeout: float | None,
) -> Decision:
    return Decision(
        run_on=run_on,
        reason=reason,
        fallback=fallback,
        upload_allowed="server" in (run_on, fallback),
        deadline_miss_expected=late,
        hedge_after_ms=hedge,
        timeout_ms=timeout,
        device_ms=view.device_ms,
        server_ms=view.server_ms,
        device_blocked=view.device_blocked,
        server_blocked=view.server_blocked,
    )
