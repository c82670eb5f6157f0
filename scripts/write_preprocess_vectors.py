"""Write apps/shared/golden/preprocess: pictures, regions and contracts, and the inputs that they become.

Python, Kotlin and Swift must all reproduce them: floats within 1e-6 of their scale, integers exactly. A source is RGB
bytes, a camera's planes, or a pattern that readers make themselves: its value at (x, y) in channel c is
(x · (3 + c) + y · (5 − c) + x · y) mod 256. `turn` counts quarters clockwise that bring the source upright. A large
input is given by the SHA-256 of its little-endian values.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract, DType, Layout, Preprocess, Resize, TensorSpec
from edge.tasks import Region
from edge.tasks._geometry import prepare
from edge.yuv import Plane, yuv_to_rgb
from scripts.golden_vectors import Arrays, lines, write

Planes = tuple[Plane, Plane, Plane]  # of luma, blue and red
_MOST_VALUES = 4096  # of an input; larger ones are given by their hash
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    source: str
    rule: Preprocess
    layout: Layout = "NCHW"
    dtype: DType = "float32"
    region: Region | None = None
    turn: Literal[0, 1, 2, 3] = 0


@dataclass(frozen=True, slots=True)
class Sources:
    """Pictures by name, as RGB and as the JSON has them."""

    arrays: Arrays
    rgb: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)

    def add_rgb(self, name: str, image: NDArray[np.uint8]) -> None:
        self.rgb[name] = image
        self.found[name] = {"kind": "rgb", "rgb": self.arrays.add(image)}

    def add_pattern(self, name: str, width: int, height: int) -> None:
        self.rgb[name] = pattern(width, height)
        self.found[name] = {"kind": "pattern", "width": width, "height": height}

    def add_yuv(self, name: str, planes: Planes, size_hw: tuple[int, int]) -> None:
        self.rgb[name] = yuv_to_rgb(*planes, size_hw)
        self.found[name] = {
            "kind": "yuv",
            "width": size_hw[1],
            "height": size_hw[0],
            "planes": [
                {
                    "bytes": self.arrays.add(np.frombuffer(plane.data, np.uint8)),
                    "row_stride": plane.row_stride,
                    "pixel_stride": plane.pixel_stride,
                }
                for plane in planes
            ],
        }


def pattern(width: int, height: int) -> NDArray[np.uint8]:
    """Return the pattern that readers make themselves, (height, width, 3)."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return np.asarray((x * (3 + c) + y * (5 - c) + x * y) % 256, np.uint8)


def camera_planes(rng: np.random.Generator, width: int, height: int, *, interleaved: bool) -> Planes:
    """Return random planes: with padded rows, and chroma apart, or in one buffer that both planes look into."""
    half_width, half_height = (width + 1) // 2, (height + 1) // 2
    luma = Plane(rng.bytes((height - 1) * (width + 7) + width), width + 7)
    if not interleaved:
        row = half_width + 3
        size = (half_height - 1) * row + half_width
        return luma, Plane(rng.bytes(size), row), Plane(rng.bytes(size), row)
    row = 2 * half_width + 4
    both = rng.bytes((half_height - 1) * row + 2 * half_width)
    return luma, Plane(both[:-1], row, 2), Plane(both[1:], row, 2)


def sources(arrays: Arrays) -> Sources:
    rng = np.random.default_rng(8)
    found = Sources(arrays)
    found.add_rgb("odd", rng.integers(0, 256, (23, 37, 3), np.uint8))
    found.add_rgb("tall", rng.integers(0, 256, (41, 16, 3), np.uint8))
    found.add_rgb("pixel", np.array([[[255, 0, 128]]], np.uint8))
    found.add_rgb("levels", np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8))
    found.add_yuv("camera", camera_planes(rng, 33, 27, interleaved=False), (27, 33))
    found.add_yuv("camera-interleaved", camera_planes(rng, 32, 24, interleaved=True), (24, 32))
    found.add_pattern("hd", 1280, 720)
    return found


def cases() -> Iterator[Case]:
    unit = Preprocess(size=(12, 16))
    resizes: tuple[Resize, ...] = ("stretch", "letterbox", "corner")
    for source in ("odd", "tall", "pixel", "camera", "camera-interleaved"):
        for resize in resizes:
            rule = msgspec.structs.replace(unit, resize=resize)
            yield Case(name=f"{resize}/{source}", source=source, rule=rule)
    yield Case(name="enlarged", source="tall", rule=Preprocess(size=(31, 33), resize="letterbox"))
    levels = Preprocess(size=(16, 16))
    rules: dict[str, dict[str, Any]] = {
        "unit": {},
        "signed": {"range": (-1.0, 1.0)},
        "imagenet": IMAGENET,
        "imagenet-bgr": {**IMAGENET, "colour": "BGR"},
        "bytes": {"range": (0.0, 255.0)},
    }
    for name, values in rules.items():
        for layout in ("NCHW", "NHWC"):
            rule = msgspec.structs.replace(levels, **values)
            yield Case(name=f"values/{name}/{layout}", source="levels", rule=rule, layout=layout)
    ranges: dict[DType, tuple[tuple[float, float], ...]] = {
        "uint8": ((0.0, 255.0),),
        "int8": ((-128.0, 127.0), (-200.0, 200.0)),
        "int32": ((-9.0, 9.0),),
    }
    for dtype, ends in ranges.items():
        for (low, high), colour in product(ends, ("RGB", "BGR")):
            rule = msgspec.structs.replace(levels, range=(low, high), colour=colour)
            name = f"integers/{dtype}/{high:g}/{colour}"
            yield Case(name=name, source="levels", rule=rule, layout="NHWC", dtype=dtype)
    yield from region_cases()
    yield from turn_cases()
    yield from large_cases()


def region_cases() -> Iterator[Case]:
    square = Preprocess(size=(12, 12), resize="letterbox", range=(-1.0, 1.0))
    inside = Region(18.0, 11.0, 14.0)
    for name, region in {
        "upright": inside,
        "turned": Region(18.0, 11.0, 14.0, 0.5),
        "turned-back": Region(17.5, 11.25, 13.0, -2.1),
        "quarter": Region(18.0, 11.0, 14.0, math.pi / 2),
        "half": Region(18.0, 11.0, 14.0, math.pi),
        "partly-outside": Region(2.0, 20.0, 30.0, 0.7),
        "outside": Region(-500.0, 900.0, 20.0, 1.0),
        "far-outside": Region(1e12, -1e12, 5.0, 0.3),
        "larger-than-the-picture": Region(18.0, 11.0, 200.0, 0.2),
        "tiny": Region(18.3, 11.7, 0.01, 0.9),
    }.items():
        for source in ("odd", "camera"):
            yield Case(name=f"region/{name}/{source}", source=source, rule=square, region=region)
    wide = Preprocess(size=(9, 14))
    yield Case(name="region/not-square", source="odd", rule=wide, region=Region(18.0, 11.0, 16.0, 0.4))


def turn_cases() -> Iterator[Case]:
    turns: tuple[Literal[1, 2, 3], ...] = (1, 2, 3)
    for turn in turns:
        for source in ("odd", "camera", "camera-interleaved"):
            letterbox = Preprocess(size=(12, 16), resize="letterbox")
            yield Case(name=f"turn/{turn}/{source}", source=source, rule=letterbox, turn=turn)
            region = Region(9.0, 15.0, 14.0, 0.5)
            rule = Preprocess(size=(12, 12))
            yield Case(name=f"turn/{turn}/region/{source}", source=source, rule=rule, region=region, turn=turn)


def large_cases() -> Iterator[Case]:
    pose = Preprocess(size=(256, 256), resize="letterbox")
    yield Case(name="hd/detector", source="hd", rule=Preprocess(size=(224, 224), resize="letterbox", range=(-1.0, 1.0)))
    yield Case(name="hd/landmarks", source="hd", rule=pose, region=Region(640.3, 351.8, 487.6, 0.35))
    yield Case(name="hd/landmarks-at-the-border", source="hd", rule=pose, region=Region(1200.0, 60.5, 512.0, -1.2))
    voc = Preprocess(size=(256, 256), mean=IMAGENET["mean"], std=IMAGENET["std"])
    yield Case(name="hd/segmentation", source="hd", rule=voc)
    yield Case(name="hd/segmentation-nhwc", source="hd", rule=voc, layout="NHWC")


def as_json(case: Case, found: Sources) -> dict[str, Any]:
    """Return a case with what the reference makes of it."""
    height, width = case.rule.size
    shape = (1, 3, height, width) if case.layout == "NCHW" else (1, height, width, 3)
    spec = TensorSpec(name="image", shape=shape, dtype=case.dtype, layout=case.layout)
    upright = np.ascontiguousarray(np.rot90(found.rgb[case.source], -case.turn))
    inputs, frame = prepare(upright, Contract(inputs=(spec,), preprocess=case.rule), case.region)
    values = inputs["image"]
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    large = values.size > _MOST_VALUES
    region = case.region
    return {
        "name": case.name,
        "source": case.source,
        "turn": case.turn,
        "spec": msgspec.to_builtins(spec),
        "preprocess": msgspec.to_builtins(case.rule),
        "region": None if region is None else [region.centre_x, region.centre_y, region.side, region.rotation],
        "image_hw": list(frame.image_hw),
        "matrix": found.arrays.add(frame.matrix),
        "input": {"sha256": hashlib.sha256(data).hexdigest()} if large else found.arrays.add(values),
    }


def vectors() -> dict[str, bytes]:
    """Return the files' contents by name."""
    arrays = Arrays()
    found = sources(arrays)
    written = [as_json(case, found) for case in cases()]
    return {"preprocess.json": lines({"sources": found.found}, written), "preprocess.bin": arrays.content()}


if __name__ == "__main__":
    write("preprocess", vectors())
