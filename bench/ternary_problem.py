"""Random ternary products and their references, as files that the workers read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.ternary_peers import Case

_ROWS = 1024  # of weights, turned into float64 at a time


def write_weights(parent: Path, case: Case) -> Path:
    """Return a folder with trits, a third of each value, and scales that float16 holds; written once for a size."""
    folder = parent / f"{case.columns}x{case.outputs}"
    if folder.is_dir():
        return folder
    for other in parent.iterdir():  # one size at a time: the largest takes hundreds of megabytes
        for file in other.iterdir():
            file.unlink()
        other.rmdir()
    folder.mkdir()
    generator = np.random.default_rng(case.columns * 7 + case.outputs)
    trits = generator.integers(-1, 2, (case.outputs, case.columns), np.int8)
    np.save(folder / "trits.npy", trits)
    scale = generator.uniform(0.01, 0.03, case.outputs).astype(np.float16).astype(np.float32)
    np.save(folder / "scale.npy", scale)
    return folder


def write_problem(folder: Path, case: Case) -> None:
    """Write normal activations, the float64 product, and the float32 product of their 8-bit codes.

    The latter is float(sum) × (scale of the row × scale of the channel), as include/ternary.h defines it.
    """
    trits = np.load(folder / "trits.npy", mmap_mode="r")
    scale = np.load(folder / "scale.npy")
    activations = np.random.default_rng(case.rows).standard_normal((case.rows, case.columns), np.float32)
    codes, scales = _quantized(activations)
    expected = np.empty((case.rows, case.outputs))
    sums = np.empty((case.rows, case.outputs))
    both = np.concatenate([activations.astype(np.float64), codes.astype(np.float64)])
    for first in range(0, case.outputs, _ROWS):
        part = both @ trits[first : first + _ROWS].T.astype(np.float64)
        expected[:, first : first + _ROWS], sums[:, first : first + _ROWS] = part[: case.rows], part[case.rows :]
    np.save(folder / "activations.npy", activations)
    np.save(folder / "expected.npy", expected * scale)
    np.save(folder / "exact.npy", sums.astype(np.float32) * (scales[:, None] * scale))


def _quantized(rows: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> tuple[np.ndarray, np.ndarray]:
    """Return 8-bit codes (rows, K) and float32 scales (rows): |x|max / 127, half to even."""
    scales = (np.abs(rows).max(axis=1) / np.float32(127)).astype(np.float32)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales
