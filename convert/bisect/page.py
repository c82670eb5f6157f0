"""A bisection as one HTML page: error by depth as a plot, every matched tensor as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.bisect.records import Bisection, Row, Side
from edge.artifact import write_atomic

PAGE = "bisect.html"
_WIDTH, _HEIGHT = 1160, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 40
_LEAST, _MOST = 1e-8, 10.0  # errors drawn; those beyond lie on the border


@dataclass(frozen=True, slots=True)
class Dot:
    """One row in the plot, in pixels."""

    x: float
    accumulated_y: float
    own_y: float
    row: Row
    bad: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """What the template draws of one side."""

    side: Side
    dots: tuple[Dot, ...]
    accumulated: str  # points of a polyline
    ticks: tuple[tuple[float, str], ...]  # y, label
    allowance_y: float
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    bottom: int = _HEIGHT - _BOTTOM


def write_page(found: Bisection, out: Path) -> Path:
    """Write bisect.html into `out` and return its path."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("convert.bisect", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["error"] = error
    page = templates.get_template("bisect.html.j2").render(
        found=found,
        plots=[plot(side) for side in found.sides],
        differences={pair.node: pair.difference for pair in found.pairs},
    )
    path = out / PAGE
    write_atomic(path, page.encode())
    return path


def plot(side: Side) -> Plot:
    """Return where each row of a side is drawn; errors on a logarithmic scale."""
    depths = [row.depth for row in side.rows]
    low, high = min(depths, default=0), max(depths, default=1)
    dots = tuple(
        Dot(_x(row.depth, low, high), _y(row.accumulated), _y(row.own), row, row.excess > side.allowance)
        for row in side.rows
    )
    return Plot(
        side,
        dots,
        " ".join(f"{dot.x:.1f},{dot.accumulated_y:.1f}" for dot in dots),
        tuple((_y(10.0**power), "1" if power == 0 else f"1e{power}") for power in range(-8, 2, 2)),
        _y(side.allowance),
    )


def _x(depth: int, low: int, high: int) -> float:
    return _LEFT + 8 + (depth - low) / max(high - low, 1) * (_WIDTH - _RIGHT - _LEFT - 16)


def _y(value: float) -> float:
    share = math.log10(min(max(value, _LEAST), _MOST) / _LEAST) / math.log10(_MOST / _LEAST)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def error(value: float) -> str:
    """Format a relative error."""
    return "0" if value == 0 else "not a number" if value > 1e30 else f"{value:.2g}"


def around(rows: Sequence[Row], depth: int | None, count: int) -> range:
    """Return the positions of up to `count` rows around a depth in the program, or of the last ones."""
    last = len(rows) - 1
    middle = last if depth is None else next((i for i, row in enumerate(rows) if row.depth >= depth), last)
    start = max(0, min(middle - count // 2, len(rows) - count))
    return range(start, min(len(rows), start + count))
