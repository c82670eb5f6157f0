"""Budgets such as `p90<=25ms`, and what a profile makes of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from edge.errors import Refused, UsageError
from edge.profile.records import Interval, Profile, Variant

_UNITS: Mapping[str, Mapping[str, float]] = {
    "time": {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3},  # in milliseconds
    "memory": {"MB": 1.0},  # 10⁶ bytes
    "energy": {"mJ": 1.0},
    "ratio": {"": 1.0},
}
SHOWN: Mapping[str, str] = {"time": " ms", "memory": " MB", "energy": " mJ", "ratio": ""}
FIELDS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("median", "p90", "p99", "min", "first", "cold_load", "warm_load"), "time")
    | {"peak_memory": "memory", "energy": "energy", "ratio": "ratio"}
)
_WRITTEN = re.compile(r"\s*([a-z0-9_]+)\s*<=\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([A-Za-zµ]*)\s*", re.ASCII)
_MICRO = str.maketrans({"\u03bc": "µ"})  # the Greek letter and the sign look alike


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a figure may be: in ms, MB or mJ, or a ratio to an earlier profile."""

    field: str
    limit: float

    @property
    def unit(self) -> str:
        """Return the unit with a space before it, as it is written after a figure."""
        return SHOWN[FIELDS[self.field]]

    def __str__(self) -> str:
        return f"{self.field}<={self.limit:.10g}{self.unit.strip()}"


class Judged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one variant makes of one budget; value, interval and limit in ms, MB or mJ, or a ratio."""

    name: str
    budget: str
    limit: float
    value: float | None
    ci95: Interval | None = None
    met: bool
    reason: str


def parse_budget(text: str) -> Budget:
    """Return a budget written as `FIELD<=NUMBER[UNIT]`; raises UsageError."""
    found = _WRITTEN.fullmatch(text.translate(_MICRO))
    if found is None:
        raise UsageError(f"{text!r} is no budget; write for example 'p90<=25ms', with one of {', '.join(FIELDS)}")
    name, number, unit = found.groups()
    if name not in FIELDS:
        raise UsageError(f"{text!r}: nothing is called {name!r}; known: {', '.join(FIELDS)}")
    units = _UNITS[FIELDS[name]]
    if unit not in units:
        expected = "no unit" if "" in units else " or ".join(units)
        raise UsageError(f"{text!r}: {name} has {expected}, not {unit or 'none'!r}")
    limit = float(number) * units[unit]
    if not 0 < limit < math.inf:
        raise UsageError(f"{text!r}: the limit must be more than 0 and finite")
    return Budget(name, limit)


def judge_profile(profile: Profile, budgets: Sequence[Budget]) -> tuple[Judged, ...]:
    """Judge every variant by every budget.

    Raises Refused where times are emulated, UsageError for a ratio, which needs an earlier profile.
    """
    check_alone(budgets)
    return judge_variants(profile, budgets)


def check_alone(budgets: Sequence[Budget]) -> None:
    """Raise UsageError for a ratio, which one profile alone does not have."""
    for budget in budgets:
        if budget.field == "ratio":
            raise UsageError(f"{budget} needs an earlier profile: edge compare OLD NEW --budget '{budget}'")


def judge_variants(profile: Profile, budgets: Sequence[Budget]) -> tuple[Judged, ...]:
    """Judge every variant by budgets of which none is a ratio; raises Refused where times are emulated."""
    emulated = profile.device.emulated
    return tuple(_judge(variant, budget, emulated) for variant in profile.variants for budget in budgets)


def _judge(variant: Variant, budget: Budget, emulated: bool) -> Judged:
    if (emulated or variant.emulated) and FIELDS[budget.field] in ("time", "energy"):
        raise Refused(
            f"{variant.name} ran emulated: {budget.field} says nothing about a real device and is not judged by "
            f"{budget}; measure it on one with `edge profile --device`"
        )
    value, ci95 = _READ[budget.field](variant)
    return judge(variant.name, budget, value, ci95, _missing(variant, budget))


def judge(name: str, budget: Budget, value: float | None, ci95: Interval | None, missing: str) -> Judged:
    """Judge a figure: not met if the whole interval lies above the limit, or without an interval the figure itself."""
    met = value is not None and (ci95[0] if ci95 else value) <= budget.limit
    return Judged(
        name=name,
        budget=str(budget),
        limit=budget.limit,
        value=value,
        ci95=ci95,
        met=met,
        reason=missing if value is None else _reason(budget, value, ci95, met),
    )


def _reason(budget: Budget, value: float, ci95: Interval | None, met: bool) -> str:
    spread = f" [{ci95[0]:.4g}, {ci95[1]:.4g}]" if ci95 else ""
    figure = f"{budget.field} is {value:.4g}{budget.unit}{spread}"
    if value <= budget.limit:
        return f"{figure}, within {budget.limit:.4g}{budget.unit}"
    above = f"{value - budget.limit:.3g}{budget.unit} ({100 * (value / budget.limit - 1):.3g} %)"
    if met:
        return f"{figure}, {above} above {budget.limit:.4g}{budget.unit}, but the interval reaches below it"
    return f"{figure}, {above} above {budget.limit:.4g}{budget.unit}"


def _missing(variant: Variant, budget: Budget) -> str:
    if variant.problem:
        return f"{budget.field} was not measured: {variant.problem}"
    if budget.field == "energy" and variant.energy_reason:
        return f"energy was not measured: {variant.energy_reason}"
    return f"{budget.field} was not measured"


Figure = tuple[float | None, Interval | None]


def _time(name: str) -> Callable[[Variant], Figure]:
    def read(variant: Variant) -> Figure:
        return (None if variant.estimate is None else getattr(variant.estimate, f"{name}_ms")), None

    return read


def _median(variant: Variant) -> Figure:
    found = variant.estimate
    return (found.median_ms, found.ci95_ms) if found else (None, None)


def _p90(variant: Variant) -> Figure:
    found = variant.estimate
    return (found.p90_ms, found.p90_ci95_ms) if found else (None, None)


def _memory(variant: Variant) -> Figure:
    return (variant.memory.peak_bytes / 1e6 if variant.memory else None), None


def _energy(variant: Variant) -> Figure:
    return (variant.energy.millijoules if variant.energy else None), None


_READ: Mapping[str, Callable[[Variant], Figure]] = {
    **{name: _time(name) for name in ("p99", "min", "first", "cold_load", "warm_load")},
    "median": _median,
    "p90": _p90,
    "peak_memory": _memory,
    "energy": _energy,
}
