"""Taps: every intermediate tensor that a runtime really computed for one set of inputs.

One file per runtime. A tap is named as the file names it and knows which operator of the file computed it; matching
taps with the operators of the exported program is the work of `convert.bisect`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.errors import Unexecutable

Arrays = Mapping[str, NDArray[Any]]
_SMALL = 1e-30


@dataclass(frozen=True, slots=True)
class Tap:
    """One tensor: integers that stand for real numbers are already turned into those."""

    name: str
    operator: int  # position among the file's operators
    kind: str  # what the runtime calls the operator
    value: NDArray[Any]
    step: float = 0.0  # distance of neighbouring numbers of a quantized tensor
    handle: int = 0  # of the exporter, if the file keeps one


@dataclass(frozen=True, slots=True)
class Taps:
    """All taps in the file's order, how they were computed, and what is to be said about that."""

    mode: Mode
    taps: tuple[Tap, ...]
    outputs: Arrays  # of the unchanged file, by the manifest's names
    operators: tuple[str, ...] = ()  # kinds of the file's operators, in order
    notes: tuple[str, ...] = ()


Reader = Callable[[Artifact, Arrays], Taps]

# family → module:function; a family that is not here has no taps that the file alone gives
READERS: Mapping[str, str] = {
    "onnx-cpu": "edge.runtimes._taps.onnx:read_onnx",
    "onnx-ternary": "edge.runtimes._taps.onnx:read_onnx",
    "litert-cpu": "edge.runtimes._taps.litert:read_litert",
    "executorch-xnnpack": "edge.runtimes._taps.executorch:read_executorch",
    "executorch-ternary": "edge.runtimes._taps.executorch:read_executorch",
    "coreml": "edge.runtimes._taps.coreml:read_coreml",
}


def read_taps(artifact: Artifact, inputs: Arrays) -> Taps:
    """Run an artifact once and return every tensor that it computed; names and layouts of inputs are the manifest's.

    Raises Unexecutable for targets whose files do not let anyone look inside, TargetError if the runtime fails.
    """
    family = artifact.manifest.target.partition(":")[0]
    if family not in READERS:
        raise Unexecutable(
            str(artifact.root), [f"{family} hides its intermediate tensors; {', '.join(READERS)} show them"]
        )
    module, name = READERS[family].split(":")
    reader: Reader = getattr(importlib.import_module(module), name)
    return reader(artifact, inputs)


def relative_difference(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Return the rms of the difference over the rms of `right`; infinity if `left` is not finite where `right` is."""
    a, b = left.astype(np.float64).reshape(-1), right.astype(np.float64).reshape(-1)
    if a.size == 0 or np.array_equal(a, b, equal_nan=True):
        return 0.0
    with np.errstate(all="ignore"):
        error = float(np.sqrt(np.mean((a - b) ** 2)) / max(float(np.sqrt(np.mean(b**2))), _SMALL))
    return error if np.isfinite(error) else float("inf")


def disagreement(what: str, found: Arrays, outputs: Arrays, limit: float) -> tuple[str, ...]:
    """Return a note for each output that two ways to run the same file compute differently by more than `limit`."""
    return tuple(
        f"{what}: output {name} differs by {error:.2g} of its rms"
        for name, value in outputs.items()
        if name in found and (error := relative_difference(found[name], value)) > limit
    )
