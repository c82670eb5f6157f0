"""Time the decoder of MaskConver's outputs against plain loops: python -m bench.panoptic_centres."""

from __future__ import annotations

import argparse
import datetime
import platform
from typing import Any

import numpy as np

from bench.plain_centres import plain_centres, plain_merge
from bench.timing import median_ms
from edge.codebooks import with_codebook
from edge.tasks import TASKS, Tensors
from edge.tasks import _maskconver as decoding
from edge.zoo import MODELS

SIDE, DEPTH, CLASSES = 32, 256, 201


def outputs(seed: int, centres: int) -> tuple[dict[str, Any], Any]:
    """Return outputs with that many centres above the threshold, and weights for their masks."""
    random = np.random.default_rng(seed)
    heatmap = np.full((CLASSES, SIDE, SIDE), -9, np.float32)
    places = random.permutation((SIDE // 2) ** 2)[:centres]
    rows, columns = 2 * (places // (SIDE // 2)), 2 * (places % (SIDE // 2))
    heatmap[random.integers(1, CLASSES, centres), rows, columns] = random.normal(0, 1, centres)
    embeddings = random.normal(0, 1, (2, DEPTH, SIDE, SIDE)).astype(np.float32)
    weights = random.normal(0, 0.06, (CLASSES + 2 * DEPTH + 4, DEPTH)).astype(np.float32)
    names = ("class_heatmap", "centre_embeddings", "pixel_embeddings")
    return dict(zip(names, (heatmap[None], *embeddings[:, None]), strict=True)), weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    print(f"{platform.processor() or platform.machine()}, {datetime.date.today()}, numpy {np.__version__}, one picture")
    task, contract = TASKS["panoptic"], MODELS["maskconver-mobilenet"].contract
    for centres in (0, 10, 50):
        arrays, weights = outputs(0, centres)
        own = with_codebook(contract, weights)
        for picture_hw in ((256, 256), (480, 640)):
            frame = task.prepare(np.zeros((*picture_hw, 3), np.uint8), own)[1]
            ours = median_ms(lambda a=arrays, c=own, f=frame: task.decode(a, c, f), runs)  # type: ignore[misc]
            print(f"{centres:3} centres, {picture_hw[1]} × {picture_hw[0]}: {ours:8.2f} ms", end="")
            print("" if picture_hw[0] != 256 else f", plain loops {plain_ms(arrays, weights, own):9.1f} ms")
    print()


def plain_ms(arrays: Tensors, weights: Any, contract: Any) -> float:
    """Time the plain loops on the masks as they are, 32 × 32 pixels: 64 times fewer than the decoder's."""
    rule = decoding.rule_of(contract)
    planes = [array[0] for array in arrays.values()]

    def run() -> Any:
        return plain_merge(plain_centres(*planes, weights, rule), (SIDE, SIDE), rule)  # type: ignore[call-arg]

    return median_ms(run, 1)


if __name__ == "__main__":
    main()
