"""Who multiplies ternary weights: one module a runtime, each with its peers, behind one small interface.

A module is imported by a process of its own, so that no runtime's threads or allocator meet another's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
# What the results may differ by, as root mean squares: a float sum, and activations of 8 bits, whose step is 1/127 of
# the largest of some thousands of normal numbers (4 deviations): 4/127/sqrt(12) = 0.9 %, or 1.1 % with a block's range.
FLOAT_TOLERANCE = 1e-5
INT8_TOLERANCE = 2e-2


class Missing(Exception):
    """A peer cannot be had on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """Name a product: `rows` rows of `columns` activations times (outputs, columns) weights."""

    rows: int
    columns: int
    outputs: int

    @property
    def weights(self) -> int:
        """Return how many weights there are."""
        return self.columns * self.outputs

    def __str__(self) -> str:
        return f"{self.rows}×{self.columns}×{self.outputs}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Hold a case's float32 activations (rows, columns), int8 trits (outputs, columns) and scales (outputs)."""

    case: Case
    activations: Float32
    trits: NDArray[np.int8]
    scale: Float32


@dataclass(frozen=True, slots=True)
class Prepared:
    """Hold a product that is ready: `run` computes it from activations bound before, `result` returns (rows, outputs).

    `stored_bits` is the size of the weights in the peer's format with their scales, `read_bytes` what one product
    reads of them in memory.
    """

    run: Callable[[], object]
    result: Callable[[], Float32]
    stored_bits: float
    read_bytes: float
    keeps: tuple[object, ...] = ()  # what the two functions need to live


@dataclass(frozen=True, slots=True)
class Peer:
    """Describe one way to multiply.

    `prepare` takes a problem and a number of threads and raises Missing if the peer cannot be had. `tolerance` is the
    allowed root mean square of the error over that of the result; 0 means bit for bit the integer reference.
    """

    name: str
    prepare: Callable[[Problem, int], Prepared]
    tolerance: float = INT8_TOLERANCE
    ours: bool = False


# Modules of this package; the order is that of the table.
RUNTIMES = ("kernels", "onnx_runtime", "litert", "executorch", "llama_cpp", "bitnet_cpp")


def peers_of(runtime: str) -> tuple[Peer, ...]:
    """Return the peers of a runtime; its packages are imported when a peer is prepared."""
    found: tuple[Peer, ...] = importlib.import_module(f"{__name__}.{runtime}").PEERS
    return found


def package_version(runtime: str) -> str:
    """Return the name and version of what a runtime's module runs."""
    return str(importlib.import_module(f"{__name__}.{runtime}").version())
