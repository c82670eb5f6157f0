"""Whether a unit does the work that was asked of it, judged by time: `edge profile --require-unit npu=95`."""

from __future__ import annotations

from collections import defaultdict

from edge.delegation import UNITS, Requirement, parse_requirement
from edge.profile.operators import is_remainder
from edge.profile.records import OperatorPass

_SHOWN = 5  # kinds of operators that a message names
_ROUNDING = 1e-9


def parse_unit(text: str) -> Requirement:
    """Read `npu=95`, a least share of the operators' time in percent; a plain `npu` asks for all of it.

    Raises UsageError for anything else.
    """
    return parse_requirement(f"{text}=100" if text in UNITS else text)


def unmet(found: OperatorPass, requirement: Requirement) -> str:
    """Return what the operators' times lack of a requirement and who is to blame, or an empty string.

    Operators whose unit is not known count as elsewhere; time outside all operators counts for nothing.
    """
    unit = requirement.unit
    share = 100.0 * found.unit_share.get(unit, 0.0)
    outside = [item for item in found.operators if item.unit != unit and not is_remainder(item)]
    strict = requirement.percent >= 100 and bool(outside)
    if share >= requirement.percent - _ROUNDING and not strict:
        return ""
    times: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    for item in outside:
        times[item.type, item.unit, item.backend].append(item.median_us)
    slowest = sorted(times.items(), key=lambda entry: -sum(entry[1]))
    listed = [
        f"{len(us)} × {kind} on {where} ({backend or 'unknown backend'}, {sum(us):.0f} µs)"
        for (kind, where, backend), us in slowest[:_SHOWN]
    ]
    more = f", and {len(slowest) - _SHOWN} more kinds" if len(slowest) > _SHOWN else ""
    elsewhere = f"{len(outside)} operators are elsewhere: {', '.join(listed)}{more}" if outside else "no operator ran"
    estimated = " by the compiler's estimate" if found.estimated else ""
    lacking = f"{unit} runs {share:.2f} % of the operators' time{estimated}, {requirement.percent:g} % is required"
    return f"{lacking}; {elsewhere}"
