"""The kit's own kernels, through the C function that quantizes float activations and multiplies.

The arrays are made before, so that a call costs what ctypes needs: about a microsecond.
"""

from __future__ import annotations

import ctypes
import functools

import numpy as np

from bench.ternary_peers import Peer, Prepared, Problem
from quant.ternary import Layout, TernaryTensor


def _prepare(layout: Layout, problem: Problem, threads: int) -> Prepared:
    from quant.kernels import TernaryKernel
    from quant.kernels.library import Error, library, pool
    from quant.kernels.packing import encode

    packed = encode(TernaryTensor(problem.trits, problem.scale), layout)
    kernel = TernaryKernel(packed, threads=threads)
    given = np.ascontiguousarray(problem.activations)
    results, error = np.empty((problem.case.rows, problem.case.outputs), np.float32), Error()
    function = library().ternary_linear
    arguments = (
        kernel._handle, pool(threads), given.ctypes.data, problem.case.rows, None, results.ctypes.data,
        ctypes.byref(error),
    )  # fmt: skip

    def run() -> None:
        if function(*arguments):
            raise RuntimeError(error.message.decode())

    scales = 4 * problem.case.outputs
    stored = 8 * len(packed) / problem.case.weights
    return Prepared(run, lambda: results, stored, kernel.code_bytes + scales, keeps=(kernel, given))


PEERS = tuple(
    Peer(f"ours {layout}", functools.partial(_prepare, layout), tolerance=0.0, ours=True) for layout in ("t2", "t5")
)


def version() -> str:
    """Return the path that this processor takes."""
    from quant.kernels import available_paths

    return f"edge-deployment-kit kernels ({available_paths()[0]})"
