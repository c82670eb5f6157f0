"""The words of a latency profile, which the page and the terminal share."""

from __future__ import annotations

from collections.abc import Sequence

from edge.profile.records import DeviceState, Interval, Mode, OperatorTime, Profile, Ratio, Variant

NONE = "–"


def ms(value: float | None) -> str:
    """Format milliseconds with three or four significant digits and no exponent, without a unit."""
    if value is None:
        return NONE
    for least, digits in ((1000, 0), (100, 1), (10, 2), (0.1, 3), (0.01, 4)):
        if abs(value) >= least:
            return f"{value:.{digits}f}"
    return f"{value:.5f}" if value else "0"


def spread(interval: Interval | None) -> str:
    """Format an interval of milliseconds."""
    return f"[{ms(interval[0])}, {ms(interval[1])}]" if interval else "[no interval]"


def loads(variant: Variant) -> str:
    """Format cold and warm load."""
    found = variant.estimate
    return f"{ms(found.cold_load_ms)} / {ms(found.warm_load_ms)}" if found else NONE


def megabytes(size_bytes: int | None) -> str:
    """Format bytes as MB (10⁶)."""
    return NONE if size_bytes is None else f"{size_bytes / 1e6:.1f} MB"


def ghz(khz: int) -> str:
    """Format a frequency."""
    return f"{khz / 1e6:.2f} GHz"


def modes(variant: Variant) -> str:
    """Name the groups of launches; empty if they lie together."""
    estimate = variant.estimate
    if estimate is None or len(estimate.modes) < 2:
        return ""
    found, total = estimate.modes, estimate.launches  # launches that lie alone are in no group
    return f"{len(found)} modes: " + ", ".join(_mode(mode, total) for mode in found)


def _mode(mode: Mode, total: int) -> str:
    at = f" at {ghz(mode.khz)}" if mode.khz else ""
    return f"{ms(mode.median_ms)} ms ({mode.launches} of {total} launches{at})"


def verdict_line(ratio: Ratio) -> str:
    """Say in one sentence what a ratio shows."""
    if ratio.ratio is None or ratio.verdict == "unknown":
        why = f": {ratio.reason}" if ratio.reason else ""
        return f"{ratio.name} and {ratio.reference} are not compared{why}"
    value, interval = ratio.ratio, ratio.ci95
    if ratio.verdict == "faster":
        value = 1 / value if value else float("inf")
        interval = (_inverse(interval[1]), _inverse(interval[0])) if interval else None
    around = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
    if ratio.verdict == "indistinguishable":
        return f"{ratio.name} and {ratio.reference} cannot be told apart: {value:.2f}×{around}"
    return f"{ratio.name} is {value:.2f}×{around} {ratio.verdict} than {ratio.reference}"


def _inverse(value: float) -> float:
    return 1 / value if value else float("inf")


def protocol(profile: Profile) -> tuple[str, ...]:
    """Say how it was measured, in short phrases."""
    found = profile.protocol
    phrases = [
        f"{found.launches} launch{'es' if found.launches != 1 else ''} of every variant, interleaved at random "
        f"(seed {found.seed})",
        f"warm-up of at most {found.warmup_runs} runs or {found.warmup_seconds:g} s",
        f"then at least {found.min_runs} runs and {found.min_seconds:g} s",
        f"{found.threads} thread{'s' if found.threads != 1 else ''}",
        f"prefix {' '.join(found.prefix)}" if found.prefix else "no prefix",
        "thermal gate: " + profile.thermal_gate + (f" ({profile.gate_reason})" if profile.gate_reason else ""),
    ]
    if found.sustain_seconds:
        phrases.append(f"sustained for {found.sustain_seconds:g} s")
    return tuple(phrases)


def cautions(profile: Profile) -> tuple[str, ...]:
    """Say what limits the figures of a profile, worst first."""
    found = []
    if profile.device.emulated or any(variant.emulated for variant in profile.variants):
        found.append(
            "Emulated: the processor was emulated in software. These times show that the artifacts run, and nothing "
            "about how fast they are on a real device. They are refused by edge compare and by budgets."
        )
    if profile.problem:
        found.append(f"The profile ended early: {profile.problem}")
    if profile.thermal_gate == "timeout":
        found.append("The device was still warm or busy when the measurement began.")
    for variant in profile.variants:
        if variant.problem:
            found.append(f"{variant.name}: {variant.problem}")
    return tuple(found)


def states(profile: Profile) -> tuple[DeviceState, ...]:
    """Return every reading of the device, in order of time."""
    found = [launch.state for variant in profile.variants for launch in variant.launches if launch.state]
    return tuple(sorted(found, key=lambda state: state.at_s))


def state_text(states: Sequence[DeviceState]) -> tuple[str, ...]:
    """Say between which limits the device's readings lay."""
    if not states:
        return ("the device's state was not read",)
    phrases = []
    thermal = sorted({state.thermal for state in states})
    phrases.append(f"thermal status {', '.join(thermal)}")
    hottest = [max(state.celsius.values()) for state in states if state.celsius]
    if hottest:
        phrases.append(f"hottest sensor {_range(hottest)} °C")
    battery = [state.battery_percent for state in states if state.battery_percent is not None]
    if battery:
        charging = {state.charging for state in states}
        how = " charging" if charging == {True} else " not charging" if charging == {False} else ""
        phrases.append(f"battery {_range(battery)} %{how}")
    fastest = [max(state.khz) / 1e6 for state in states if state.khz]
    if fastest:
        phrases.append(f"fastest core {_range(fastest, 2)} GHz")
    load = [state.load for state in states if state.load is not None]
    if load:
        phrases.append(f"load {_range(load, 2)}")
    return tuple(phrases)


def _range(values: Sequence[float], digits: int = 0) -> str:
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def roof(operator: OperatorTime) -> str:
    """Format how near an operator is to its roof."""
    return NONE if operator.roof_share is None else f"{100 * operator.roof_share:.0f} %"


def share(value: float) -> str:
    """Format a share from 0 to 1 as a percentage."""
    return f"{100 * value:.1f} %"
