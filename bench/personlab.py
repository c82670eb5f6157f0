"""How long PersonLab's decoder takes on 17 × 33 × 33 planes with ten people: `python -m bench.personlab`.

Beside it the naive decoder. Medians on one core; the planes are those of a perfect network with noise on them.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from bench.personlab_naive import decode_naively
from bench.personlab_scenes import crowd, fields
from edge.tasks._personlab import Fields, Instances, Rule, decode

GRID, PEOPLE, NOISE = (33, 33), 10, 0.02
Decoder = Callable[[Fields, Rule], Instances]


def noisy(seed: int) -> Fields:
    """Return ten people's planes with noise: 0.02 on probabilities, 1 pixel on offsets."""
    rng = np.random.default_rng(seed)
    clean = fields(crowd(PEOPLE, GRID, rng))
    return Fields(
        clean.shape,
        np.clip(clean.probability * 0.9 + NOISE * rng.random(clean.probability.shape), 0, 1),
        clean.offset + rng.normal(size=clean.offset.shape),
        clean.displacement + rng.normal(size=clean.displacement.shape),
    )


def milliseconds(decoder: Decoder, planes: Fields, rule: Rule) -> float:
    """Return the duration of one call."""
    start = time.perf_counter_ns()
    decoder(planes, rule)
    return (time.perf_counter_ns() - start) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="calls of each (default 30; the naive one every tenth)")
    rounds = parser.parse_args().rounds
    rule, planes = Rule(), [noisy(seed) for seed in range(rounds)]
    assert all(len(decode(item, rule).totals) == PEOPLE for item in planes)
    ours = [milliseconds(decode, item, rule) for item in planes]
    naive = [milliseconds(decode_naively, item, rule) for item in planes[::10]]
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, "
          f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}")  # fmt: skip
    print(f"17 × {GRID[0]} × {GRID[1]}, {PEOPLE} people, median of {rounds} (naive: {len(naive)})")
    print(f"vectorised {statistics.median(ours):8.2f} ms")
    print(f"naive      {statistics.median(naive):8.2f} ms   × {statistics.median(naive) / statistics.median(ours):.0f}")


if __name__ == "__main__":
    main()
