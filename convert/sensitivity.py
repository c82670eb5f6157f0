"""Prepared folder + pictures → what rounding each layer costs, measured in a child process on all cores."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.header import read_header
from convert.nearness import without_masks
from convert.reference import read_reference
from edge.artifact import encode_json, write_atomic
from edge.contract import Contract, image_contract
from edge.errors import Refused
from edge.jobs import Job, progressing, run_job
from edge.report.sensitivity import SENSITIVITY, Mode, Sensitivity, read_sensitivity
from edge.store import cached_folder, content_key, keep_folder, staging
from edge.tasks import TASKS, Frame
from quant.observers import Observer

if TYPE_CHECKING:
    import torch

    from convert.program import Program
    from convert.reference import Sample
    from quant.sensitivity import Score, Tally
    from quant.simulate import Inputs, Simulator

TIMEOUT_S = 1800.0
OBSERVER: Observer = "min-max"
_WORK_S = 120.0  # of one core, for all pictures
# What takes a core of 2026 how long, fitted to three models of the zoo; it decides how many pictures are used.
_MAC_S, _ELEMENT_S, _OUTPUT_S = 24e-12, 1.2e-9, 12e-9
_COARSE_PX = 256  # the longer side of pictures on which classes of pixels are compared
_TRIALS = 1.7  # an operator
_PICTURES = (4, 12)  # fewest and most


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Say what to simulate: the program of a prepared folder as a target family gets it, and on which pictures.

    `key` names the prepared folder and the pictures: families whose passes leave the same program share what is found.
    """

    prepared: Path
    family: str
    pictures: tuple[Path, ...]
    data: str
    key: str
    observer: Observer = OBSERVER

    def payload(self) -> dict[str, Any]:
        """Return the scope as JSON values."""
        return {
            "prepared": str(self.prepared),
            "family": self.family,
            "pictures": [str(path.resolve()) for path in self.pictures],
            "data": self.data,
            "key": self.key,
            "observer": self.observer,
        }

    def program(self) -> Program:
        """Return the program as the family gets it."""
        from convert.passes import optimize
        from convert.program import load_program

        return optimize(load_program(self.prepared), self.family)

    def shared_key(self, program: Program, *parts: str) -> str:
        """Return the key of what was found for a program, whichever family it was for."""
        from convert.program import program_digest

        return content_key("simulated", self.key, self.observer, program_digest(program), *parts)


def scope_of(payload: Mapping[str, Any]) -> Scope:
    """Return the scope out of what `Scope.payload` made."""
    return Scope(
        prepared=Path(payload["prepared"]),
        family=payload["family"],
        pictures=tuple(Path(path) for path in payload["pictures"]),
        data=payload["data"],
        key=payload["key"],
        observer=payload["observer"],
    )


@dataclass(frozen=True, slots=True)
class Simulation:
    """A program that can be run with rounded layers, and the samples to run it on."""

    program: Program
    simulator: Simulator
    samples: tuple[Sample, ...]

    @property
    def contract(self) -> Contract:
        """Return the program's contract."""
        return self.program.contract

    def inputs(self, sample: Sample) -> Inputs:
        """Return a sample's tensors in the contract's order."""
        import torch

        return tuple(torch.from_numpy(sample.inputs[spec.name].copy()) for spec in self.contract.inputs)

    def score(self, sample: Sample) -> Callable[[Sequence[torch.Tensor]], Score | None]:
        """Return what turns the float program's outputs into the metric of other outputs on this sample."""
        task, frame = TASKS[self.contract.task], _coarse(self.contract, sample.frame)
        names = [spec.name for spec in self.contract.outputs]
        compared = without_masks(image_contract(self.contract))

        def against(wanted: Sequence[torch.Tensor]) -> Score | None:
            if frame is None or sample.image is None or not task.metric:
                return None
            expected = task.decode({n: t.numpy() for n, t in zip(names, wanted, strict=True)}, compared, frame)
            if getattr(expected, "empty", False):
                return None

            def metric(outputs: Sequence[torch.Tensor]) -> NDArray[np.float64]:
                arrays = {name: tensor.numpy() for name, tensor in zip(names, outputs, strict=True)}
                return task.measure(task.decode(arrays, compared, frame), expected)

            return metric

        return against


def _coarse(contract: Contract, frame: Frame | None) -> Frame | None:
    """Return the frame of a smaller picture for classes of pixels: there deciding on them takes most of the time."""
    if frame is None or contract.task != "segmentation" or max(frame.image_hw) <= _COARSE_PX:
        return frame
    scale = _COARSE_PX / max(frame.image_hw)
    height, width = (max(1, round(side * scale)) for side in frame.image_hw)
    matrix = frame.matrix * scale
    matrix[:, 2] += (scale - 1) / 2  # pixel centres
    return Frame((height, width), frame.tensor_hw, matrix)


def simulate(scope: Scope, program: Program) -> Simulation:
    """Measure the ranges of a scope's program; raises Refused without pictures."""
    import torch

    from convert.calibration import calibration_inputs
    from convert.prepare import make_samples
    from convert.targets._pt2e_equalize import equalize_channels
    from convert.targets._pt2e_ranges import saturation
    from convert.targets._pt2e_weights import fitted_weights
    from quant.simulate import Simulator

    torch.set_num_threads(1)  # the cores are taken by samples
    calibration = calibration_inputs(scope.prepared)
    contract = program.contract
    inputs = [tuple(torch.from_numpy(entry[spec.name].copy()) for spec in contract.inputs) for entry in calibration]
    module = program.exported.module(check_guards=False)
    if inputs:
        equalize_channels(module, inputs)  # as the targets do before they quantize, and then fit the weights
    weights = fitted_weights(module, inputs)
    simulator = Simulator(module, inputs, scope.observer, lambda node: saturation(node, 8), weights)
    samples: Sequence[Sample] = make_samples(contract, program.name, scope.pictures) if scope.pictures else ()
    shown = [sample for sample in samples if sample.image is not None and sample.frame is not None]
    chosen = shown or read_reference(scope.prepared).meaningful().samples
    return Simulation(program, simulator, tuple(chosen))


def pictures_for(program: Program, count: int) -> int:
    """Return on how many pictures the layers of a program are tried, by its size, so that the time is bounded."""
    from convert.delegation import count_macs, operator_nodes

    nodes = list(operator_nodes(program))
    run_s = sum(_MAC_S * count_macs(node) + _ELEMENT_S * _elements(node) for node in nodes)
    outputs = sum(math.prod(spec.shape) for spec in program.contract.outputs)
    tried_s = len(nodes) * _TRIALS * (run_s / 2 + _OUTPUT_S * outputs)  # a trial computes half of the graph
    return max(1, min(count, max(_PICTURES[0], min(_PICTURES[1], int(_WORK_S / tried_s)))))


def _elements(node: Any) -> int:
    value = node.meta["val"]
    return int(value.numel()) if hasattr(value, "numel") else 0


def sensitivity_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Measure the sensitivity of a program's layers and write it; the child-process side of `measure_in_child`."""
    scope, mode = scope_of(payload["scope"]), payload["mode"]
    program = scope.program()
    key = scope.shared_key(program, mode)
    if earlier := cached_folder("artifacts", key):
        found = read_sensitivity(earlier)
    else:
        found = _measured(scope, program, mode)
        with staging(Path(payload["out"]).parent) as folder:
            write_atomic(folder / SENSITIVITY, encode_json(found))
            keep_folder("artifacts", key, folder)
    write_atomic(Path(payload["out"]), encode_json(msgspec.structs.replace(found, family=scope.family)))
    return {}


def _measured(scope: Scope, program: Program, mode: Mode) -> Sensitivity:
    from convert.program import program_digest
    from quant.sensitivity import measure, rank, trials

    start = time.monotonic()
    simulation = simulate(scope, program)
    simulator, contract = simulation.simulator, simulation.contract
    samples = spread(simulation.samples, pictures_for(program, len(simulation.samples)))
    tried = trials(simulator.layers, mode)

    def tally(sample: Sample) -> Tally:
        return measure(simulator, simulation.inputs(sample), tried, mode, simulation.score(sample))

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        running = [pool.submit(tally, sample) for sample in samples]
        tallies = [future.result() for future in progressing(running, "layers rounded on pictures")]
    outputs = [spec.name for spec in contract.outputs]
    whole, layers = rank(tried, tallies, simulator.layers, outputs, mode, TASKS[contract.task].total)
    return Sensitivity(
        model=program.name,
        program=program_digest(program),
        family=scope.family,
        data=scope.data,
        count=len(samples),
        scored=sum(entry.metric is not None for entry in tallies),
        mode=mode,
        metric=TASKS[contract.task].metric,
        observer=scope.observer,
        whole=whole,
        layers=layers,
        seconds=round(time.monotonic() - start, 1),
    )


def spread(items: Sequence[Sample], count: int) -> list[Sample]:
    """Return `count` of the items, evenly spread."""
    return [items[index * len(items) // count] for index in range(count)] if count < len(items) else list(items)


def measure_in_child(scope: Scope, mode: Mode, out: Path, log: Path) -> Sensitivity:
    """Measure what rounding each layer costs in a child process, write it to `out` and return it.

    Raises Refused for a program without pictures to measure ranges on, ContractError for one whose activations hold
    NaN.
    """
    if not takes_pictures(scope.prepared):
        raise Refused(
            f"{read_header(scope.prepared).name} takes no picture, so the ranges of its activations cannot be "
            "measured; ask for fp16 or fp32"
        )
    payload = {"scope": scope.payload(), "mode": mode, "out": str(out)}
    environment = {"OMP_NUM_THREADS": "1"}
    run_job(
        Job(
            function="convert.sensitivity:sensitivity_job",
            payload=payload,
            log=log,
            timeout_s=TIMEOUT_S,
            environment=environment,
        )
    )
    return read_sensitivity(out)


def takes_pictures(prepared: Path) -> bool:
    """Say whether the program of a prepared folder was run on pictures."""
    return any(sample.image is not None for sample in read_reference(prepared).samples)
