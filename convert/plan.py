"""Ranked layers + budget → which layers `mixed` keeps from 8 bits: the fewest whose simulation is good enough."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convert.sensitivity import TIMEOUT_S, Scope, Simulation, scope_of, simulate, spread
from edge.artifact import write_atomic
from edge.jobs import Job, run_job
from edge.report.sensitivity import LayerSensitivity, read_sensitivity
from edge.store import cached_folder, keep_folder, staging
from edge.tasks import TASKS
from quant.planner import DOUBLINGS, MOST_KEPT

if TYPE_CHECKING:
    from quant.layers import Layer
    from quant.simulate import Simulator

KEEPINGS = "keepings.json"
PICTURES = 16
_SIXTEEN_BITS = ("executorch-qnn", "onnx-qnn", "litert-qualcomm")  # families that keep layers in w8a16, not in float


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """Name what to keep from 8 bits, and what the simulation says of it."""

    operators: tuple[str, ...]
    layers: int
    of: int  # layers that could be kept
    metric: str
    value: float


def plan_in_child(scope: Scope, sensitivity: Path, floor: float, log: Path) -> tuple[Keeping, ...]:
    """Return the fewest layers to keep for a simulated metric of `floor`, then twice and four times as many.

    Half of all layers is the most that the search tries, and with those who read their results three quarters is the
    most that is kept; where not even that is enough the first choice is it.
    """
    payload = {"scope": scope.payload(), "sensitivity": str(sensitivity), "floor": floor}
    job = Job(
        function="convert.plan:plan_job",
        payload=payload,
        log=log,
        timeout_s=TIMEOUT_S,
        environment={"OMP_NUM_THREADS": "1"},
    )
    return msgspec.convert(run_job(job)["choices"], tuple[Keeping, ...])


def plan_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Search for the fewest layers to keep; the child-process side of `plan_in_child`."""
    scope, sensitivity = scope_of(payload["scope"]), Path(payload["sensitivity"])
    bits = 16 if scope.family in _SIXTEEN_BITS else None
    program = scope.program()
    key = scope.shared_key(program, "keepings", str(payload["floor"]), str(bits))
    if earlier := cached_folder("artifacts", key):
        return {"choices": msgspec.json.decode((earlier / KEEPINGS).read_bytes())}
    search = Search(simulate(scope, program), read_sensitivity(sensitivity).layers, bits)
    choices = [msgspec.to_builtins(keeping) for keeping in search.choices(payload["floor"])]
    with staging(sensitivity.parent) as folder:
        write_atomic(folder / KEEPINGS, msgspec.json.encode(choices))
        keep_folder("artifacts", key, folder)
    return {"choices": choices}


class Search:
    """Try to keep more or fewer of the most sensitive layers, in simulation."""

    def __init__(self, simulation: Simulation, ranked: Sequence[LayerSensitivity], kept_bits: int | None) -> None:
        self._simulation, self._bits = simulation, kept_bits
        self._layers = {layer.name: layer for layer in simulation.simulator.layers}
        self._damage = {row.name: row for row in ranked}
        self.order = [row.name for row in ranked if self._layers[row.name].keepable]
        self._samples = spread(simulation.samples, min(PICTURES, len(simulation.samples)))
        self._values: dict[int, tuple[str, float]] = {}

    def choices(self, floor: float) -> tuple[Keeping, ...]:
        """Return the fewest layers for a metric of `floor`, then more, while enough are left in 8 bits to matter."""
        least = self.least(floor)
        counts = dict.fromkeys(min(least << doubling, len(self.order)) for doubling in range(DOUBLINGS + 1))
        few = [count for count in counts if len(self.closure(count)) <= MOST_KEPT * len(self.order)]
        return tuple(self.keeping(count) for count in few or [least])

    def least(self, floor: float) -> int:
        """Return the fewest layers to keep, at least one: the number is doubled until it is enough, then bisected."""
        most = max(1, len(self.order) // 2)
        enough = 1
        while enough < most and self.value(enough)[1] < floor:
            enough = min(most, enough * 2)
        short = enough // 2
        while enough - short > 1:
            middle = (short + enough) // 2
            short, enough = (short, middle) if self.value(middle)[1] >= floor else (middle, enough)
        return enough

    def keeping(self, count: int) -> Keeping:
        """Return what keeping the `count` most sensitive layers means for the operators."""
        names = self.closure(count)
        metric, value = self.value(count)
        operators = [member for layer in self._layers.values() if layer.name in names for member in layer.members]
        return Keeping(
            operators=tuple(operators), layers=len(names), of=len(self.order), metric=metric, value=round(value, 6)
        )

    def closure(self, count: int) -> frozenset[str]:
        """Return the `count` most sensitive layers, and what reads them where it is the result that suffers.

        What stays in 8 bits reads codes: a result keeps its bits only if those who read it are kept as well.
        """
        found: set[str] = set()
        for name in self.order[:count]:
            found |= {name, *(reader.name for reader in self._to_keep(self._layers[name]))}
        return frozenset(found)

    def _to_keep(self, layer: Layer) -> Sequence[Layer]:
        row, simulator = self._damage[layer.name], self._simulation.simulator
        if row.weights is not None and row.weights.worst_db < row.activation.worst_db:
            return ()
        return [reader for reader in simulator.readers(layer) if reader.keepable]

    def value(self, count: int) -> tuple[str, float]:
        """Return the metric and its value over the samples with the `count` most sensitive layers kept."""
        if count not in self._values:
            self._values[count] = simulated(self._simulation, self._samples, self.closure(count), self._bits)
        return self._values[count]


def simulated(
    simulation: Simulation, samples: Sequence[Any], kept: frozenset[str], kept_bits: int | None
) -> tuple[str, float]:
    """Return the task's metric of a program in 8 bits but for some layers; the worst output's cosine without one."""
    from quant.simulate import quantized

    simulator: Simulator = simulation.simulator
    assignment = quantized(simulator.layers, kept=kept, kept_bits=kept_bits)
    task = TASKS[simulation.contract.task]

    def of(sample: Any) -> tuple[Any, float]:
        inputs = simulation.inputs(sample)
        wanted = simulator.outputs(simulator.values(inputs))
        got = simulator.outputs(simulator.values(inputs, assignment))
        score = simulation.score(sample)(wanted)
        return (score(got) if score else None), min(_cosine(a, b) for a, b in zip(got, wanted, strict=True))

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        found = list(pool.map(of, samples))
    rows = [row for row, _ in found if row is not None]
    if rows:
        return task.metric, float(task.total(np.stack(rows)))
    return "cosine", float(np.mean([cosine for _, cosine in found]))


def _cosine(got: Any, want: Any) -> float:
    a, b = got.double().flatten(), want.double().flatten()
    norms = float(a.norm() * b.norm())
    return float(a @ b) / norms if norms else 1.0
