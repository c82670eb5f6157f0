"""What became slower between two profiles of one device, variant by variant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np

from edge.errors import Refused
from edge.profile.budget import Budget, Judged, judge, judge_variants
from edge.profile.estimate import measured, times_ms
from edge.profile.records import Interval, Profile, Variant, Verdict
from edge.profile.statistics import FEWEST, Times, unpaired_ratio_interval, verdict


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compare one variant; latencies are medians of the launches' medians in milliseconds."""

    name: str
    before_ms: float | None
    after_ms: float | None
    before_ci95_ms: Interval | None = None
    after_ci95_ms: Interval | None = None
    ratio: float | None  # after over before
    ci95: Interval | None = None
    verdict: Verdict  # on the later one
    reason: str = ""  # why it is unknown
    remarks: tuple[str, ...] = ()  # what else differs
    worse: tuple[str, ...] = ()


class ProfileComparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compare two profiles; the JSON of `edge compare` for them."""

    schema: Literal[1] = 1
    before: str
    after: str
    worse: bool
    rows: tuple[Change, ...]
    budgets: tuple[Judged, ...] = ()
    remarks: tuple[str, ...] = ()


def compare_profiles(
    before: Profile, after: Profile, budgets: Sequence[Budget] = (), *, names: tuple[str, str] = ("before", "after")
) -> ProfileComparison:
    """Compare variants of equal names; slower by more than the band is worse, as is one that is not measured any more.

    A budget of a ratio takes the band's place. Raises Refused where the two must not be compared: another device,
    harness, kind of inputs or number of threads, or emulated times.
    """
    _same_device(before, after)
    old = {variant.name: variant for variant in before.variants}
    new = {variant.name: variant for variant in after.variants}
    if not old.keys() & new.keys():
        raise Refused(f"no variant is in both: {', '.join(old) or 'none'} and {', '.join(new) or 'none'}")
    limits = [budget for budget in budgets if budget.field == "ratio"]
    rows = tuple(_change(name, old.get(name), new.get(name), bool(limits)) for name in [*old, *(new.keys() - old)])
    judged = [*judge_variants(after, [budget for budget in budgets if budget.field != "ratio"])]
    judged += [
        judge(row.name, budget, row.ratio, row.ci95, f"the ratio is not known: {row.reason}")
        for row in rows
        if row.name in old and row.name in new
        for budget in limits
    ]
    return ProfileComparison(
        before=names[0],
        after=names[1],
        worse=any(row.worse for row in rows) or not all(found.met for found in judged),
        rows=rows,
        budgets=tuple(judged),
        remarks=tuple(_around(before, after)),
    )


def _same_device(before: Profile, after: Profile) -> None:
    for profile in (before, after):
        if profile.device.emulated:
            raise Refused(f"{profile.device.id} is emulated: its times say nothing about a real device")
    for field in ("name", "soc", "machine", "cores"):
        old, new = getattr(before.device, field), getattr(after.device, field)
        if old != new:
            raise Refused(
                f"the devices differ ({field}: {old or 'unknown'} and {new or 'unknown'}); profile both artifacts on "
                "one device, best in one `edge profile` so that their launches are interleaved"
            )


def _same_way(before: Variant, after: Variant) -> None:
    for variant in (before, after):
        if variant.emulated:
            raise Refused(f"{variant.name} ran emulated: its times say nothing about a real device")
    for field in ("harness", "inputs", "threads"):
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            raise Refused(f"{before.name} was measured with {field} {old} and {new}; measure both in one way")


def _change(name: str, before: Variant | None, after: Variant | None, limited: bool) -> Change:
    if before is None or after is None:
        return _alone(name, before, after)
    _same_way(before, after)
    above, below = (launch_times(side) for side in (after, before))
    ratio, ci95 = _ratio(above, below), None
    if ratio is not None:
        ci95 = unpaired_ratio_interval(above, below)
    found = verdict(ci95)
    return Change(
        name=name,
        before_ms=_centre(below),
        after_ms=_centre(above),
        before_ci95_ms=before.estimate.ci95_ms if before.estimate else None,
        after_ci95_ms=after.estimate.ci95_ms if after.estimate else None,
        ratio=ratio,
        ci95=ci95,
        verdict=found,
        reason=_unknown(before, after, above, below) if ci95 is None else "",
        remarks=tuple(_differences(before, after)),
        worse=tuple(_worse(below, above, found, after, limited)),
    )


def _alone(name: str, before: Variant | None, after: Variant | None) -> Change:
    centres = [_centre(launch_times(side)) if side else None for side in (before, after)]
    return Change(
        name=name,
        before_ms=centres[0],
        after_ms=centres[1],
        ratio=None,
        verdict="unknown",
        reason="only the earlier profile has it" if after is None else "only the later profile has it",
        worse=("it was measured and is not in the later profile",) if after is None and centres[0] is not None else (),
    )


def launch_times(variant: Variant) -> list[Times]:
    """Return the runs of every launch that ended as it should, in milliseconds."""
    return [times_ms(launch) for launch in measured(variant.launches)]


def _centre(launches: Sequence[Times]) -> float | None:
    return float(np.median([np.median(runs) for runs in launches])) if launches else None


def _ratio(above: Sequence[Times], below: Sequence[Times]) -> float | None:
    over, under = _centre(above), _centre(below)
    lowest = min((float(runs.min()) for runs in below), default=0.0)  # any of them may be drawn
    return None if over is None or under is None or lowest <= 0 else over / under


def _unknown(before: Variant, after: Variant, above: Sequence[Times], below: Sequence[Times]) -> str:
    for side, variant, launches in (("earlier", before, below), ("later", after, above)):
        if not launches:
            why = f": {variant.problem}" if variant.problem else ""
            return f"the {side} profile has no launch that ended as it should{why}"
        if len(launches) < FEWEST:
            return f"the {side} profile has {len(launches)} launches, and an interval needs {FEWEST}"
    return "a run of the earlier profile took no time"


def _worse(
    below: Sequence[Times], above: Sequence[Times], found: Verdict, after: Variant, limited: bool
) -> Iterator[str]:
    if below and not above:
        yield "it was measured and is not any more" + (f": {after.problem}" if after.problem else "")
    if found == "slower" and not limited:
        yield "it is slower by more than the band of 2 %"


def _differences(before: Variant, after: Variant) -> Iterator[str]:
    if before.runtime != after.runtime:
        yield f"runtime {before.runtime or 'unknown'} → {after.runtime or 'unknown'}"
    if before.sha256 == after.sha256:
        yield "the artifact is the same"
    for side, variant in (("earlier", before), ("later", after)):
        if variant.estimate and len(variant.estimate.modes) > 1:
            yield f"the {side} launches fall into {len(variant.estimate.modes)} modes; their median describes none"


def _around(before: Profile, after: Profile) -> Iterator[str]:
    old, new = before.device, after.device
    if old.id != new.id:
        yield f"two devices of one make: {old.id} and {new.id}; specimens differ"
    if old.system != new.system:
        yield f"system {old.system or 'unknown'} → {new.system or 'unknown'}"
    if before.protocol.prefix != after.protocol.prefix:
        yield f"prefix {' '.join(before.protocol.prefix) or 'none'} → {' '.join(after.protocol.prefix) or 'none'}"
    for side, profile in (("earlier", before), ("later", after)):
        if profile.thermal_gate != "passed":
            why = f" ({profile.gate_reason})" if profile.gate_reason else ""
            yield f"thermal gate of the {side} profile: {profile.thermal_gate}{why}"
