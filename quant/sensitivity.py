"""What rounding one layer costs the outputs and the task: every layer alone, or everything but one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.report.sensitivity import Damage, LayerSensitivity, Mode
from quant.layers import Layer
from quant.simulate import FLOAT, Assignment, Inputs, Simulator, quantized

Part = Literal["whole", "both", "weights", "activation"]
Score = Callable[[Sequence[Tensor]], NDArray[np.float64]]  # the numbers of some outputs that the task's metric takes
Total = Callable[[NDArray[np.float64]], float]  # (pictures, numbers) → the metric, whose best is 1

_CAP_DB = 200.0  # identical tensors; JSON has no infinity
_METRIC_STEP = 1e-3  # differences of the metric below this say less than the outputs do


@dataclass(frozen=True, slots=True)
class Trial:
    """Name one thing to try; the whole program has no layer."""

    part: Part
    assignment: Assignment
    layer: Layer | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Hold what one sample showed: the energy of the outputs, and of the error of each trial, and the metric."""

    signal: NDArray[np.float64]  # (outputs,)
    noise: NDArray[np.float64]  # (trials, outputs)
    metric: NDArray[np.float64] | None  # (trials, numbers)


def trials(layers: Sequence[Layer], mode: Mode) -> tuple[Trial, ...]:
    """Return everything to try: the whole program first, then each layer's parts."""
    whole = quantized(layers)
    base = FLOAT if mode == "one" else whole
    vary = base.only if mode == "one" else base.without

    def of(layer: Layer) -> Iterator[Trial]:
        yield Trial("both", vary(layer, weights=bool(layer.weight), output=True), layer)
        if layer.weight:
            yield Trial("weights", vary(layer, weights=True, output=False), layer)
            yield Trial("activation", vary(layer, weights=False, output=True), layer)

    return (Trial("whole", whole), *(trial for layer in layers for trial in of(layer)))


def measure(
    simulator: Simulator, inputs: Inputs, tried: Sequence[Trial], mode: Mode, score: Callable[[Inputs], Score | None]
) -> Tally:
    """Run every trial on one sample; `score` makes the metric out of the float program's outputs, or says None."""
    values = simulator.values(inputs)
    wanted = simulator.outputs(values)
    metric = score(wanted)
    base = FLOAT if mode == "one" else quantized(simulator.layers)
    start = values if mode == "one" else simulator.values(inputs, base)
    noise: list[list[float]] = []
    scores: list[NDArray[np.float64]] = []
    for trial in tried:
        got = simulator.run(start, base, trial.assignment)
        noise.append([_energy(a - b) for a, b in zip(got, wanted, strict=True)])
        if metric is not None:
            scores.append(metric(got))
    signal = np.array([_energy(tensor) for tensor in wanted])
    return Tally(signal, np.array(noise), np.array(scores) if scores else None)


def _energy(tensor: Tensor) -> float:
    return float(torch.sum(torch.square(tensor.float()), dtype=torch.float64))


def rank(
    tried: Sequence[Trial],
    tallies: Sequence[Tally],
    layers: Sequence[Layer],
    outputs: Sequence[str],
    mode: Mode,
    total: Total,
) -> tuple[Damage, tuple[LayerSensitivity, ...]]:
    """Return the damage of rounding everything, and every layer with its own, the most sensitive first.

    Order: what the metric loses in steps of a thousandth, then the worst output's ratio. With everything but one layer
    rounded, the more a layer wins by being left out the more sensitive it is.
    """
    found = _damages(tried, tallies, outputs, total)
    whole = found[0]
    if mode == "leave-one-out":
        found = [whole, *(_gain(damage, whole) for damage in found[1:])]
    by_layer: dict[str, dict[Part, Damage]] = {layer.name: {} for layer in layers}
    for trial, damage in zip(tried, found, strict=True):
        if trial.layer is not None:
            by_layer[trial.layer.name][trial.part] = damage
    sign = 1.0 if mode == "one" else -1.0
    depth = {layer.name: index for index, layer in enumerate(layers)}

    def order(layer: Layer) -> tuple[float, float, int]:
        both = by_layer[layer.name]["both"]
        return -round((both.drop or 0.0) / _METRIC_STEP), sign * both.worst_db, depth[layer.name]

    rows = [
        LayerSensitivity(
            rank=index + 1,
            depth=depth[layer.name],
            name=layer.name,
            op=layer.op,
            operators=layer.members,
            both=by_layer[layer.name]["both"],
            weights=by_layer[layer.name].get("weights"),
            activation=by_layer[layer.name].get("activation", by_layer[layer.name]["both"]),
        )
        for index, layer in enumerate(sorted(layers, key=order))
    ]
    return whole, tuple(rows)


def _damages(tried: Sequence[Trial], tallies: Sequence[Tally], outputs: Sequence[str], total: Total) -> list[Damage]:
    signal = np.sum([tally.signal for tally in tallies], axis=0)
    noise = np.sum([tally.noise for tally in tallies], axis=0)
    scores = [tally.metric for tally in tallies if tally.metric is not None]
    drops = [1.0 - total(rows) for rows in np.stack(scores, axis=1)] if scores else None
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = 10 * np.log10(signal / noise)
    ratios = np.clip(np.nan_to_num(ratios, nan=_CAP_DB, posinf=_CAP_DB, neginf=-_CAP_DB), -_CAP_DB, _CAP_DB)
    return [
        Damage(
            sqnr_db={name: round(float(value), 3) for name, value in zip(outputs, ratios[index], strict=True)},
            drop=None if drops is None else round(float(drops[index]), 6),
        )
        for index in range(len(tried))
    ]


def _gain(damage: Damage, whole: Damage) -> Damage:
    return Damage(
        sqnr_db={name: round(value - whole.sqnr_db[name], 3) for name, value in damage.sqnr_db.items()},
        drop=None if damage.drop is None or whole.drop is None else round(whole.drop - damage.drop, 6),
    )
