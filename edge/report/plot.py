"""The plots of a sensitivity as shapes of an SVG: error by depth, and the most sensitive layers as bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.report.sensitivity import Damage, LayerSensitivity, Sensitivity

WIDTH, HEIGHT = 1100.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 14.0, 30.0
BARS = 25
_ROW, _LABEL = 17.0, 270.0
_QUIETEST_DB = 80.0  # of the plots: what is quieter lies on the lower edge


@dataclass(frozen=True, slots=True)
class Dot:
    """One layer in the plot by depth."""

    x: float
    y: float
    kind: str  # weights or result: which of the two costs more
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One layer in the ranked plot; lengths in the plot's units."""

    y: float
    label: str
    result: float
    weights: float
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid and what it stands for."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Shapes of both plots; error grows upwards and to the right."""

    dots: tuple[Dot, ...]
    ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...]
    bars_height: float


def plot(found: Sensitivity) -> Plot:
    """Return the shapes: noise against signal in dB, of the worst output."""
    sign = -1.0 if found.mode == "one" else 1.0
    ratios = [row.both.worst_db for row in found.layers]
    low, high = (0.0, _QUIETEST_DB) if found.mode == "one" else (min([0.0, *ratios]), max([1.0, *ratios]))
    count = max(1, max((row.depth for row in found.layers), default=0))

    def share(damage: Damage) -> float:
        """Return how far up a damage is, from 0 to 1."""
        part = (min(max(damage.worst_db, low), high) - low) / ((high - low) or 1.0)
        return 1.0 - part if sign < 0 else part

    def y(value: float) -> float:
        return round(HEIGHT - _BOTTOM - value * (HEIGHT - _TOP - _BOTTOM), 1)

    dots = tuple(
        Dot(
            x=round(_LEFT + row.depth / count * (WIDTH - _LEFT - _RIGHT), 1),
            y=y(share(row.both)),
            kind=_kind(row, found.mode == "one"),
            title=f"{row.depth} {row.name} ({row.op}): {row.both.worst_db:.1f} dB",
        )
        for row in found.layers
    )
    steps = [low + (high - low) * index / 4 for index in range(5)]
    ticks = tuple(Tick(y(share(Damage(sqnr_db={"": value}))), f"{value:.0f} dB") for value in steps)
    bars = tuple(_bar(index, row, share) for index, row in enumerate(found.layers[:BARS]))
    return Plot(dots, ticks, bars, len(bars) * _ROW + 6)


def _bar(index: int, row: LayerSensitivity, share: Callable[[Damage], float]) -> Bar:
    room = WIDTH - _LABEL - 170.0
    drop = f", {100 * row.both.drop:.2f} %" if row.both.drop is not None else ""
    return Bar(
        y=round(index * _ROW, 1),
        label=f"{row.depth} {row.name}",
        result=round(room * share(row.activation), 1),
        weights=round(room * share(row.weights), 1) if row.weights else 0.0,
        text=f"{row.both.worst_db:.1f} dB{drop}",
    )


def _kind(row: LayerSensitivity, alone: bool) -> str:
    if row.weights is None:
        return "result"
    worse = row.weights.worst_db < row.activation.worst_db
    return "weights" if worse == alone else "result"
