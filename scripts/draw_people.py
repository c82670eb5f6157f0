"""Render people with their ground truth drawn, to look at: `python -m scripts.draw_people --out DIR`.

With --sheet FILE, write one picture of several people instead: the pictures, keypoints, body parts, normals, depth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from edge.images import write_image
from edge.tasks._skeleton import draw_pose
from edge.tasks.pose import Pose
from edge.train.data.body import PARTS
from edge.train.data.people import SEEN, People, Rendering

Array = NDArray[Any]


def draw_keypoints(rendering: Rendering) -> Array:
    """Return the picture with the keypoints that are seen, and the mask tinted."""
    points = np.column_stack([np.nan_to_num(rendering.keypoints), np.zeros(len(rendering.keypoints))])
    seen = (rendering.states == SEEN).astype(np.float64)
    pose = Pose(1.0, points, seen, seen, rendering.points, mask=rendering.mask.astype(np.float32) * 0.35)
    return draw_pose(rendering.image, pose)


def draw_parts(rendering: Rendering) -> Array:
    """Return the body parts in colours."""
    palette = np.random.default_rng(4).integers(60, 256, (len(PARTS), 3))
    palette[0] = 24
    return palette[rendering.parts].astype(np.uint8)


def draw_normals(rendering: Rendering) -> Array:
    """Return the normals as colours: right is red, up green, towards the camera blue."""
    colours = (rendering.normals * (1.0, -1.0, -1.0) * 0.5 + 0.5) * 255.0
    return np.where(rendering.mask[..., None], colours, 24).astype(np.uint8)


def draw_depth(rendering: Rendering) -> Array:
    """Return the depth as grey, near white."""
    depth = np.where(rendering.mask, rendering.depth, np.nan)
    if not rendering.mask.any():
        return np.full_like(rendering.image, 24)
    low, high = np.nanmin(depth), np.nanmax(depth)
    grey = np.nan_to_num(250.0 - 190.0 * (depth - low) / max(high - low, 1e-6), nan=24.0)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


DRAWINGS = (lambda r: r.image, draw_keypoints, draw_parts, draw_normals, draw_depth)


def main() -> None:
    """Render as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="a folder for one picture per person")
    parser.add_argument("--sheet", type=Path, help="a file for one picture of all")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--plain", action="store_true", help="pictures only")
    parser.add_argument("--backgrounds", type=Path, help="a folder of photographs without people")
    given = parser.parse_args()
    people = People(given.seed, size_hw=(given.size, given.size), backgrounds=given.backgrounds)
    rows = []
    for index in range(given.start, given.start + given.count):
        rendering = people[index][0]
        drawn = np.concatenate([draw(rendering) for draw in (DRAWINGS[:1] if given.plain else DRAWINGS)], axis=0)
        rows.append(drawn)
        if given.out:
            given.out.mkdir(parents=True, exist_ok=True)
            write_image(given.out / f"{index:06d}.png", drawn)
    if given.sheet:
        colours = PillowImage.fromarray(np.concatenate(rows, axis=1)).quantize(256, dither=PillowImage.Dither.NONE)
        colours.save(given.sheet, optimize=True)


if __name__ == "__main__":
    main()
