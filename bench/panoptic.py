"""Panoptic-DeepLab's grouping at 641²: the kit's decoder beside a plain one, taken in turns.

    python -m bench.panoptic [ROUNDS]

Prints medians of the wall clock in milliseconds, with the machine and the date. The plain version holds every pixel's
distance to every centre and goes through the picture once for each segment, as the method is told.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from edge.profile.machine import host_name
from edge.tasks._centre_grouping import Rule, find_centres, group
from edge.tasks._upsampled_classes import upsampled_classes

SIDE = 641
THINGS, CLASSES = 80, 133
ROUNDS = 5  # the plain version takes seconds
TURNS = 5  # of ours, in each round
SCENES = (("3 things", 3, 160), ("10 things", 10, 110), ("30 things", 30, 70), ("100 things", 100, 40))


def scene(seed: int, count: int, radius: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Return classes (H, W), centres' map (H, W) and offsets (2, H, W) of round things, the ways 3 pixels off."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    classes = (THINGS + (rows // 107).astype(np.uint8) * 7).astype(np.uint8)
    heat = np.zeros((SIDE, SIDE), np.float32)
    offsets = random.normal(0, 3, (2, SIDE, SIDE)).astype(np.float32)
    for _ in range(count):
        y, x = random.integers(0, SIDE, 2)
        squared = (rows - y) ** 2 + (columns - x) ** 2
        inside = squared < (radius * random.uniform(0.5, 1)) ** 2
        classes[inside] = random.integers(THINGS)
        offsets[:, inside] += np.stack([y - rows, x - columns])[:, inside]
        heat = np.maximum(heat, np.exp(-squared / 128).astype(np.float32))
    return classes, heat, offsets


def ours(classes: NDArray[np.uint8], heat: NDArray[np.float32], offsets: NDArray[np.float32], rule: Rule) -> Any:
    """Group as the decoder does."""
    return group(classes, find_centres(heat, rule), offsets, rule).ids


def plain(classes: NDArray[np.uint8], heat: NDArray[np.float32], offsets: NDArray[np.float32], rule: Rule) -> Any:
    """Group with all distances and a pass over the picture for each segment."""
    peaks = np.argwhere((heat > rule.centre_threshold) & (heat == maximum_filter(heat, rule.window)))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    targets = np.stack([rows + offsets[0], columns + offsets[1]])
    nearest = np.zeros((SIDE, SIDE), int)
    best = np.full((SIDE, SIDE), np.inf)
    for number, (y, x) in enumerate(peaks):
        distance = np.hypot(targets[0] - y, targets[1] - x)
        nearest[distance < best] = number
        best = np.minimum(best, distance)
    ids, found = np.zeros((SIDE, SIDE), np.uint16), 0
    thing = classes < rule.things
    for number in range(len(peaks)):
        mask = thing & (nearest == number)
        if mask.any():
            found += 1
            np.bincount(classes[mask]).argmax()
            ids[mask] = found
    for label in np.unique(classes[~thing]):
        mask = classes == label
        if mask.sum() >= rule.least_stuff:
            found += 1
            ids[mask] = found
    return ids


def medians(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return each call's median in milliseconds; the calls are taken in turns, ours more often."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in [*[("ours", calls["ours"])] * TURNS, ("plain", calls["plain"])]:
            start = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def main(rounds: int) -> None:
    """Print the table."""
    print(f"{host_name()}, {datetime.date.today()}, {SIDE}², medians of {rounds} in ms")
    rule = Rule(things=THINGS)
    for title, count, radius in SCENES:
        arrays = scene(0, count, radius)
        if not np.array_equal(ours(*arrays, rule), plain(*arrays, rule)):
            raise SystemExit(f"{title}: the two versions differ")
        found = medians({"ours": lambda a=arrays: ours(*a, rule), "plain": lambda a=arrays: plain(*a, rule)}, rounds)
        share = float((arrays[0] < THINGS).mean())
        print(f"  grouping, {title} on {share:.0%} of the picture: {found['ours']:.1f}, plain {found['plain']:.0f}")
    classes = scene(0, 10, 110)[0][::4, ::4]
    logits = np.random.default_rng(0).normal(0, 1, (CLASSES, *classes.shape)).astype(np.float32)
    logits += 8 * (np.arange(CLASSES)[:, None, None] == classes)

    def enlarged() -> Any:
        """Enlarge every plane, then compare them."""
        from edge.tasks._centre_grouping import _enlarged

        return np.stack([_enlarged(plane, 4) for plane in logits]).argmax(axis=0)

    found = medians({"ours": lambda: upsampled_classes(logits, 4), "plain": enlarged}, 3)
    print(f"  classes of {CLASSES} planes, 4 times enlarged: {found['ours']:.0f}, plain {found['plain']:.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
