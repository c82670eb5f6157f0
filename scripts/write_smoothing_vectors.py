"""Write apps/shared/golden/smoothing: values over time, and what One-Euro filters make of them.

Python, Kotlin and Swift must all reproduce them within 1e-9 of the largest value. The filter is reset before the steps
in "resets". Times are nanoseconds of a clock that starts anywhere; some come twice or go back.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.smoothing import LANDMARK_SETTINGS, LandmarkSmoother, OneEuro, OneEuroSettings
from scripts.golden_vectors import Arrays, lines, write

FRAME_NS = 33_333_333
START_NS = 7_000_000_000_000
SETTINGS = {
    "plain": OneEuroSettings(),
    "adaptive": OneEuroSettings(min_cutoff_hz=0.8, beta=0.02, speed_cutoff_hz=2.0),
    "landmarks": LANDMARK_SETTINGS,
}


def times(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Return times of a camera that hesitates, with a pause, a frame that comes twice and one that is late."""
    found = START_NS + np.cumsum(rng.integers(FRAME_NS // 2, 2 * FRAME_NS, count))
    found[count // 2 :] += 2_000_000_000
    found[5] = found[4]
    found[9] = found[7]
    return np.asarray(found, np.int64)


def scalar_case(
    name: str, settings: OneEuroSettings, values: NDArray[Any], arrays: Arrays, **more: Any
) -> dict[str, Any]:
    at = times(np.random.default_rng(len(values)), len(values))
    resets, scale = more.get("resets", []), more.get("scale", 1.0)
    smoother = OneEuro(settings)
    smoothed = []
    for step, (value, time) in enumerate(zip(values, at, strict=True)):
        if step in resets:
            smoother.reset()
        smoothed.append(smoother.smooth(float(value), int(time), scale=scale))
    return {
        "name": name, "kind": "scalar", "settings": dataclasses.asdict(settings), "scale": scale, "resets": resets,
        "times": arrays.add(at), "values": arrays.add(np.asarray(values, np.float64)),
        "smoothed": arrays.add(np.array(smoothed)),
    }  # fmt: skip


def landmark_case(
    name: str, points: NDArray[Any], visibility: NDArray[Any], arrays: Arrays, **more: Any
) -> dict[str, Any]:
    at = times(np.random.default_rng(3), len(points))
    resets, scale = more.get("resets", []), more.get("scale", 300.0)
    smoother = LandmarkSmoother(points.shape[1])
    smoothed = []
    for step, time in enumerate(at):
        if step in resets:
            smoother.reset()
        smoothed.append(smoother.smooth(points[step], visibility[step], int(time), scale=scale))
    return {
        "name": name, "kind": "landmarks", "settings": dataclasses.asdict(LANDMARK_SETTINGS), "scale": scale,
        "resets": resets, "times": arrays.add(at), "values": arrays.add(points), "visibility": arrays.add(visibility),
        "smoothed": arrays.add(np.array(smoothed)),
    }  # fmt: skip


def vectors() -> dict[str, bytes]:
    """Return the files' contents by name."""
    rng, arrays, steps = np.random.default_rng(1), Arrays(), 40
    still = 100 + rng.normal(0, 2, steps)
    moving = np.concatenate([still[:15], 100 + 40 * np.arange(10) + rng.normal(0, 2, 10), 500 + rng.normal(0, 2, 15)])
    broken = moving.copy()
    broken[[0, 6, 20]] = np.nan, np.inf, -np.inf
    written = []
    for name, settings in SETTINGS.items():
        for kind, values in (("still", still), ("moving", moving), ("broken", broken)):
            written.append(scalar_case(f"{name}/{kind}", settings, values, arrays, scale=100.0))
    written.append(scalar_case("resets", SETTINGS["adaptive"], moving, arrays, resets=[3, 18]))
    points = moving[:, None, None] + rng.normal(0, 3, (steps, 5, 3))
    visibility = np.ones((steps, 5))
    visibility[10:14, 1], visibility[:, 2], visibility[::3, 3] = 0.2, 0.1, 0.49
    written.append(landmark_case("landmarks", points, visibility, arrays))
    written.append(landmark_case("landmarks/resets", points, visibility, arrays, resets=[12], scale=80.0))
    holes, unsure = points.copy(), visibility.copy()
    holes[7:9, 0, 1], unsure[20:25, 4] = np.nan, np.nan
    written.append(landmark_case("landmarks/broken", holes, unsure, arrays))
    return {"smoothing.json": lines({}, written), "smoothing.bin": arrays.content()}


if __name__ == "__main__":
    write("smoothing", vectors())
