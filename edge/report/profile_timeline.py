"""The timeline of an inference's operators as shapes of an SVG, and their time by unit and by type."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from edge.profile.records import OperatorPass, OperatorTime
from edge.report.figures import PALETTE, WIDTH, label

_LEFT, _RIGHT, _LANE, _AXIS = 64.0, 8.0, 34.0, 24.0
_THINNEST = 0.4
_OTHERS = "#8a94a0"
UNIT_ORDER = ("npu", "gpu", "cpu", "unknown")


@dataclass(frozen=True, slots=True)
class Block:
    """One operator in the timeline."""

    x: float
    y: float
    width: float
    colour: str
    title: str


@dataclass(frozen=True, slots=True)
class Share:
    """Time of what has one name: a unit, or a type of operator."""

    name: str
    share: float  # 0 to 1
    microseconds: float
    count: int
    colour: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Shapes of a timeline, a lane for each unit."""

    height: float
    lanes: tuple[tuple[str, float], ...]  # unit, y
    blocks: tuple[Block, ...]
    ticks: tuple[tuple[float, str], ...]
    placed: bool  # whether the profiler told when each began; else they are drawn one after another


def timeline(found: OperatorPass, types: Sequence[Share]) -> Timeline:
    """Return the shapes of one inference."""
    begins, placed = _begins(found.operators)
    end = max((at + item.median_us for at, item in zip(begins, found.operators, strict=True)), default=0.0) or 1.0
    units = [unit for unit in UNIT_ORDER if any(item.unit == unit for item in found.operators)]
    colours = {item.name: item.colour for item in types}
    scale = (WIDTH - _LEFT - _RIGHT) / end
    blocks = tuple(
        Block(
            x=round(_LEFT + at * scale, 1),
            y=units.index(item.unit) * _LANE + 4,
            width=round(max(_THINNEST, item.median_us * scale), 1),
            colour=colours.get(item.type, _OTHERS),
            title=f"{label(item.name, 120)} ({label(item.type)}) {item.median_us:.1f} µs at {at:.1f} µs",
        )
        for at, item in zip(begins, found.operators, strict=True)
    )
    lanes = tuple((unit, index * _LANE + 22) for index, unit in enumerate(units))
    step = _step(end)
    ticks = tuple((round(_LEFT + at * step * scale, 1), _time(at * step)) for at in range(int(end / step) + 1))
    return Timeline(len(units) * _LANE + _AXIS, lanes, blocks, ticks, placed)


def _begins(operators: Sequence[OperatorTime]) -> tuple[list[float], bool]:
    told = [item.start_us for item in operators]
    if operators and None not in told:
        first = min(at for at in told if at is not None)
        return [at - first for at in told if at is not None], True
    begins, at = [], 0.0
    for item in operators:
        begins.append(at)
        at += item.median_us
    return begins, False


def _step(end: float) -> float:
    """Return the round number of microseconds that cuts a timeline into five to twelve parts."""
    ten = 10.0 ** math.floor(math.log10(end / 5))
    return next(ten * part for part in (5, 2, 1) if end / (ten * part) >= 5 or part == 1)


def _time(microseconds: float) -> str:
    return f"{microseconds / 1e3:g} ms" if microseconds >= 1e3 else f"{microseconds:g} µs"


def by_type(found: OperatorPass) -> tuple[Share, ...]:
    """Return the time of every type of operator, longest first; the first few have colours of their own."""
    spent: dict[str, list[float]] = defaultdict(list)
    for item in found.operators:
        spent[item.type].append(item.median_us)
    total = sum(map(sum, spent.values())) or 1.0
    order = sorted(spent.items(), key=lambda item: -sum(item[1]))
    return tuple(
        Share(name, sum(parts) / total, sum(parts), len(parts), PALETTE[place] if place < len(PALETTE) else _OTHERS)
        for place, (name, parts) in enumerate(order)
    )


def by_unit(found: OperatorPass) -> tuple[Share, ...]:
    """Return the time of every unit as the pass tells it, the most able unit first."""
    colours = dict(zip(UNIT_ORDER, (PALETTE[2], PALETTE[0], PALETTE[1], _OTHERS), strict=True))
    counts: dict[str, list[float]] = defaultdict(list)
    for item in found.operators:
        counts[item.unit].append(item.median_us)
    others = sorted(found.unit_share.keys() - set(UNIT_ORDER))
    known = [unit for unit in (*UNIT_ORDER, *others) if unit in found.unit_share]
    return tuple(
        Share(unit, found.unit_share[unit], sum(counts[unit]), len(counts[unit]), colours.get(unit, _OTHERS))
        for unit in known
    )
