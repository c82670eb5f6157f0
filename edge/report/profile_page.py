"""Render a latency profile as one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.artifact import write_atomic
from edge.profile.estimate import times_ms
from edge.profile.records import Estimate, Launch, OperatorPass, OperatorTime, Profile, Ratio, Variant
from edge.report import profile_text as text
from edge.report.figures import PALETTE, label
from edge.report.profile_plots import DRAWN, DRAWN_SUSTAINED, course, distributions, roofline
from edge.report.profile_timeline import Share, Timeline, by_type, by_unit, timeline

PAGE = "profile.html"
_BAR = 230.0  # width of the small plots in tables


@dataclass(frozen=True, slots=True)
class Whisker:
    """A figure with its interval and a second one, as places on a small axis."""

    at: float
    low: float | None
    high: float | None
    tail: float | None = None
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What the page shows of one variant."""

    variant: Variant
    colour: str
    whisker: Whisker | None
    modes: str


@dataclass(frozen=True, slots=True)
class LaunchRow:
    """One launch in the list of all of them."""

    name: str
    launch: Launch
    median_ms: float | None


@dataclass(frozen=True, slots=True)
class Operators:
    """What the page shows of one pass over operators."""

    name: str
    found: OperatorPass
    units: tuple[Share, ...]
    types: tuple[Share, ...]
    ranked: tuple[tuple[int, OperatorTime], ...]  # with the place in the execution, longest first
    total: float  # of all operators, in microseconds
    timeline: Timeline
    roofline: str
    off_roofline: int  # operators whose work is not known


def write_profile_page(profile: Profile, out: Path) -> Path:
    """Render a profile into out/profile.html and return its path."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("edge.report", "templates")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {
        "ms": text.ms,
        "spread": text.spread,
        "loads": text.loads,
        "megabytes": text.megabytes,
        "ghz": text.ghz,
        "roof": text.roof,
        "share": text.share,
        "verdict_line": text.verdict_line,
        "label": label,
    }
    path = out / PAGE
    write_atomic(path, templates.get_template("profile.html.j2").render(**_values(profile)).encode("utf-8", "replace"))
    return path


def _values(profile: Profile) -> dict[str, object]:
    variants = profile.variants
    return {
        "profile": profile,
        "rows": _rows(variants),
        "cautions": text.cautions(profile),
        "protocol": text.protocol(profile),
        "state": text.state_text(text.states(profile)),
        "ratios": [(ratio, _ratio_whisker(ratio, profile.ratios)) for ratio in profile.ratios],
        "distributions": distributions(profile),
        "drawn": DRAWN,
        "thinned": any(len(launch.runs_ns) > DRAWN for variant in variants for launch in variant.launches),
        "drawn_sustained": DRAWN_SUSTAINED,
        "launches": _launches(variants),
        "courses": [
            (variant, variant.sustained, course(f"course-{index}", variant.sustained))
            for index, variant in enumerate(variants)
            if variant.sustained and variant.sustained.windows
        ],
        "operators": [_operators(index, variant.name, variant.operators)
                      for index, variant in enumerate(variants) if variant.operators],
        "energy": any(variant.energy for variant in variants),
        "bar": _BAR,
    }  # fmt: skip


def _rows(variants: Sequence[Variant]) -> list[Row]:
    longest = max((_end(variant.estimate) for variant in variants if variant.estimate), default=0.0) or 1.0
    return [
        Row(variant, PALETTE[index % len(PALETTE)], _whisker(variant, longest), text.modes(variant))
        for index, variant in enumerate(variants)
    ]


def _end(found: Estimate) -> float:
    """Return where a row's line ends: the 99th percentile, or the median where single runs are not known."""
    return found.median_ms if found.p99_ms is None else found.p99_ms


def _whisker(variant: Variant, longest: float) -> Whisker | None:
    found = variant.estimate
    if found is None:
        return None

    def place(value: float) -> float:
        return round(value / longest * (_BAR - 4), 1)

    low, high = map(place, found.ci95_ms) if found.ci95_ms else (None, None)
    return Whisker(place(found.median_ms), low, high, place(_end(found)))


def _ratio_whisker(ratio: Ratio, ratios: Sequence[Ratio]) -> Whisker | None:
    """Return places on a logarithmic axis that holds all ratios and 1."""
    if ratio.ratio is None or ratio.ratio <= 0 or not ratio.ci95:
        return None
    everything = [value for other in ratios if other.ci95 for value in other.ci95 if 0 < value < math.inf]
    farthest = max([math.log(1.1), *(abs(math.log(value)) for value in everything)])

    def place(value: float) -> float:
        share = math.log(value) / farthest if 0 < value < math.inf else math.copysign(1, value - 1)
        return round(_BAR / 2 + share * (_BAR / 2 - 6), 1)

    low, high = map(place, ratio.ci95)
    return Whisker(place(ratio.ratio), low, high, reference=place(1.0))


def _launches(variants: Sequence[Variant]) -> list[LaunchRow]:
    found = [LaunchRow(variant.name, launch, _median(launch)) for variant in variants for launch in variant.launches]
    return sorted(found, key=lambda row: row.launch.order)


def _median(launch: Launch) -> float | None:
    import numpy as np

    return float(np.median(times_ms(launch))) if launch.runs_ns else None


def _operators(index: int, name: str, found: OperatorPass) -> Operators:
    types = by_type(found)
    return Operators(
        name=name,
        found=found,
        units=by_unit(found),
        types=types,
        ranked=tuple(sorted(enumerate(found.operators, start=1), key=lambda item: -item[1].median_us)),
        total=sum(item.median_us for item in found.operators) or 1.0,
        timeline=timeline(found, types),
        roofline=roofline(f"roofline-{index}", found),
        off_roofline=sum(1 for item in found.operators if not (item.flops and item.bytes and item.median_us > 0)),
    )
