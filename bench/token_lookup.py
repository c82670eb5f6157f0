"""Time the lookup of codes against a plain loop over latents and vectors: python -m bench.token_lookup."""

from __future__ import annotations

import argparse
import datetime
import platform
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.timing import median_ms
from edge.codes import pack_codes
from edge.tasks._tokens import nearest_ids, sign_ids

# Tokens, codes and numbers a vector of TiTok's S-128, B-64 and L-32 and of titok-tiny.
SIZES = ((128, 4096, 12), (64, 4096, 12), (32, 4096, 12), (64, 1024, 12))


def plain_nearest(latents: NDArray[Any], vectors: NDArray[Any]) -> list[int]:
    """Return the index of the nearest direction for each latent, one distance at a time."""
    book = [vector / np.linalg.norm(vector) for vector in vectors.astype(np.float64)]
    found = []
    for latent in latents.astype(np.float64):
        direction = latent / np.linalg.norm(latent)
        distances = [float(((direction - vector) ** 2).sum()) for vector in book]
        found.append(int(np.argmin(distances)))
    return found


def plain_signs(latents: NDArray[Any]) -> list[int]:
    return [sum((value > 0) << place for place, value in enumerate(row)) for row in latents.tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {datetime.date.today()}, numpy {np.__version__}, medians of {runs} runs (3 of the plain loops)")
    random = np.random.default_rng(0)
    for tokens, codes, depth in SIZES:
        latents = random.normal(size=(tokens, depth)).astype(np.float32)
        vectors = random.normal(size=(codes, depth)).astype(np.float32)
        ours = median_ms(lambda a=latents, b=vectors: nearest_ids(a, b, normalised=True), runs)  # type: ignore[misc]
        plain = median_ms(lambda a=latents, b=vectors: plain_nearest(a, b), 3)  # type: ignore[misc]
        print(f"nearest of {codes} × {depth}, {tokens:3} tokens: {ours:7.3f} ms, plain loop {plain:8.1f} ms")
    signs = random.normal(size=(256, 18))
    ours, plain = median_ms(lambda: sign_ids(signs), runs), median_ms(lambda: plain_signs(signs), runs)
    print(f"signs, 256 tokens of 18 bits: {ours:7.3f} ms, plain loop {plain:8.3f} ms")
    ids = sign_ids(signs)
    print(f"packed, 256 tokens of 18 bits: {median_ms(lambda: pack_codes(ids, 18), runs):7.3f} ms")


if __name__ == "__main__":
    main()
