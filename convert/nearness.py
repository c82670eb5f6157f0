"""How near a quantized version comes to the float program: by what its task makes of it first, then by its outputs.

The outputs alone mislead: among two thousand anchors of a detector hardly one matters, and a range that cuts off the
rare large scores is the best for all others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract, image_contract, takes_image
from edge.tasks import TASKS, Frame

Answers = Sequence[Mapping[str, NDArray[Any]]]  # the outputs by name, one mapping an input

_STEP = 5e-3  # of the metric: smaller differences say less than the outputs do


@dataclass(frozen=True, slots=True, order=True)
class Nearness:
    """Order versions: the larger the nearer."""

    metric_steps: int  # of 0.005; the most for programs whose task has no metric
    psnr_db: float


def nearness(expected: Answers, got: Answers, contract: Contract | None = None) -> Nearness:
    """Return how near answers are to the expected ones, both in the contract's layout; without one by PSNR alone."""
    metric = _metric(expected, got, contract) if contract is not None else 1.0
    return Nearness(round(metric / _STEP), _psnr_db(expected, got))


def _psnr_db(expected: Answers, got: Answers) -> float:
    """Return the mean over outputs of the PSNR over the expected range in dB."""
    scores = []
    for name in expected[0]:
        pairs = [(np.asarray(a[name], np.float64), np.asarray(b[name])) for a, b in zip(expected, got, strict=True)]
        error = float(np.mean([np.mean((want - have) ** 2) for want, have in pairs]))
        spread = float(max(want.max() for want, _ in pairs) - min(want.min() for want, _ in pairs)) or 1.0
        scores.append(20 * math.log10(spread) - 10 * math.log10(max(error, 1e-30)))
    return sum(scores) / max(len(scores), 1)


def _metric(expected: Answers, got: Answers, contract: Contract) -> float:
    """Return the task's metric over the inputs in which the float program finds something, taken as pictures."""
    task = TASKS[contract.task]
    if not task.metric or not takes_image(contract):
        return 1.0
    compared = without_masks(image_contract(contract))
    frame = _whole(compared)
    rows = []
    for want, have in zip(expected, got, strict=True):
        reference = task.decode(want, compared, frame)
        if not getattr(reference, "empty", False):
            rows.append(task.measure(task.decode(have, compared, frame), reference))
    return task.total(np.stack(rows)) if rows else 1.0


def without_masks(contract: Contract) -> Contract:
    """Return the contract without a pose's mask, which takes most of the time to decode and is not compared."""
    if contract.task != "pose-landmarks":
        return contract
    kept = tuple(spec for spec in contract.outputs if spec.name != "mask")
    return msgspec.structs.replace(contract, outputs=kept)


def _whole(contract: Contract) -> Frame:
    """Return the frame of a picture that is the input tensor itself."""
    size = contract.inputs[0].size_hw
    return Frame(size, size, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
