"""The cases of the decoders' golden vectors: contracts as the zoo's, small ones, and outputs of all kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract, DType, Layout, Postprocess, Preprocess, Resize, TensorSpec
from edge.tasks import Region
from edge.tasks._detection import anchor_centres

Outputs = Mapping[str, NDArray[Any]]
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    contract: Contract
    outputs: Outputs
    image_hw: tuple[int, int]
    tensor_hw: tuple[int, int] = (1, 1)  # of a contract without preprocessing
    region: Region | None = None


def contract(
    task: str, outputs: Outputs, size: tuple[int, int], *, resize: Resize = "stretch", layout: Layout = "NCHW",
    decoder: str = "", settings: Mapping[str, Any] | None = None, labels: tuple[str, ...] = (),
    dtype: DType = "float32",
) -> Contract:  # fmt: skip
    """Return a contract whose outputs have the arrays' shapes; those of 4 axes have the layout."""
    return Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, *size), layout="NCHW"),),
        outputs=tuple(
            TensorSpec(name=name, shape=array.shape, layout=layout if array.ndim == 4 else "", dtype=dtype)
            for name, array in outputs.items()
        ),
        task=task,
        preprocess=Preprocess(size=size, resize=resize),
        postprocess=Postprocess(decoder=decoder, settings=dict(settings or {})) if decoder else None,
        labels=labels,
    )


def all_cases() -> Iterator[Case]:
    yield from detection_cases()
    yield from landmark_cases()
    yield from segmentation_cases()
    yield from panoptic_cases()
    yield from picture_cases()


SMALL_ANCHORS = {"strides": [16.0, 32.0], "anchors_per_cell": [2.0, 3.0], "scale": 64.0}


def people(count: int, strides: list[int], per_cell: list[int], size: tuple[int, int], seed: int) -> Outputs:
    """Return boxes of some people, each found by several anchors, and low scores elsewhere."""
    rng = np.random.default_rng(seed)
    anchors = anchor_centres(size, strides, per_cell)
    boxes = np.zeros((1, len(anchors), 12), np.float32)
    scores = np.full((1, len(anchors), 1), -8.0, np.float32)
    for _ in range(count):
        centre, extent = rng.uniform(0.15, 0.85, 2), rng.uniform(0.15, 0.5, 2)
        near = np.argsort(((anchors - centre) ** 2).sum(axis=1))[:6]
        shifts = rng.normal(0, 0.01, (6, 2))
        boxes[0, near, 0:2] = (centre + shifts - anchors[near]) * size[1]
        boxes[0, near, 2:4] = extent * size[1]
        keypoints = centre + rng.normal(0, 0.2, (1, 4, 2)) + shifts[:, None]
        boxes[0, near, 4:] = ((keypoints - anchors[near][:, None]) * size[1]).reshape(6, 8)
        scores[0, near, 0] = rng.normal(1.5, 1.0, 6)
    return {"boxes": boxes, "scores": scores}


def detection_cases() -> Iterator[Case]:
    size, strides, per_cell = (64, 64), [16, 32], [2, 3]

    def case(name: str, outputs: Outputs, **settings: Any) -> Case:
        found = contract(
            "pose-detection", outputs, size, resize="letterbox", decoder="ssd", settings={**SMALL_ANCHORS, **settings}
        )
        return Case(name=f"detection/{name}", contract=found, outputs=outputs, image_hw=(48, 90))

    for count in (0, 1, 3, 12):
        yield case(f"people-{count}", people(count, strides, per_cell, size, count))
    many = people(12, strides, per_cell, size, 5)
    everywhere = {"boxes": many["boxes"], "scores": np.full_like(many["scores"], 2.0)}
    yield case("ties", everywhere)
    yield case("score-at-the-threshold", {**everywhere, "scores": np.zeros_like(many["scores"])}, score_threshold=0.5)
    yield case("empty-boxes", {**everywhere, "boxes": np.zeros_like(many["boxes"])})
    negative = many["boxes"].copy()
    negative[..., 2:4] *= -1
    yield case("negative-boxes", {**many, "boxes": negative})
    for name, value in (("nan", NAN), ("inf", INF), ("minus-inf", -INF)):
        broken = {key: array.copy() for key, array in many.items()}
        broken["scores"][0, ::5] = value
        yield case(f"scores-{name}", broken)
        broken = {key: array.copy() for key, array in many.items()}
        broken["boxes"][0, ::3, ::2] = value
        yield case(f"boxes-{name}", broken)
    for threshold in (0.0, 0.3, 1.0):
        yield case(f"iou-{threshold}", many, iou_threshold=threshold)
    yield case("wrong-anchors", many, strides=[8.0, 32.0])
    real = people(4, [8, 16, 32], [2, 2, 6], (224, 224), 9)
    settings = {"strides": [8.0, 16.0, 32.0], "anchors_per_cell": [2.0, 2.0, 6.0], "scale": 224.0}
    own = contract("pose-detection", real, (224, 224), resize="letterbox", decoder="ssd", settings=settings)
    yield Case(name="detection/blazepose", contract=own, outputs=real, image_hw=(720, 1280))


def landmark_outputs(seed: int, *, points: int = 39) -> dict[str, Any]:
    size, cells, masks = 64, 10, 16
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 2, (points, 5))
    raw[:, :3] = rng.uniform(0, size, (points, 3))
    heatmap = rng.normal(-3, 1, (1, points, cells, cells))
    for point, (x, y) in enumerate(raw[:, :2] / size * cells):
        heatmap[0, point, min(int(y), cells - 1), max(int(x) - 1, 0)] = 4.0
    return {
        "landmarks": raw.reshape(1, -1).astype(np.float32),
        "presence": np.array([[0.93]], np.float32),
        "world": rng.normal(0, 0.4, (1, points * 3)).astype(np.float32),
        "heatmap": heatmap.astype(np.float32),
        "mask": rng.normal(0, 3, (1, 1, masks, masks)).astype(np.float32),
    }


def landmark_cases() -> Iterator[Case]:
    turned = Region(24.0, 15.0, 25.0, 0.6)

    def case(name: str, outputs: Outputs, region: Region | None = turned, layout: Layout = "NCHW") -> Case:
        found = contract("pose-landmarks", outputs, (64, 64), layout=layout, decoder="landmarks")
        return Case(name=f"landmarks/{name}", contract=found, outputs=outputs, image_hw=(31, 46), region=region)

    whole = landmark_outputs(1)
    yield case("turned", whole)
    yield case("upright", whole, Region(24.0, 15.0, 25.0))
    yield case("outside", whole, Region(-30.0, 90.0, 60.0, -2.5))
    lines_last = {k: np.moveaxis(a, 1, 3) if a.ndim == 4 else a for k, a in whole.items()}
    yield case("channels-last", lines_last, layout="NHWC")
    yield case("without-heatmap-and-mask", {k: whole[k] for k in ("landmarks", "presence", "world")})
    yield case("only-the-body", {k: v for k, v in landmark_outputs(2, points=33).items() if k != "mask"})
    for name, presence in (("nobody", 0.1), ("just-found", 0.5), ("presence-nan", NAN)):
        yield case(name, {**whole, "presence": np.array([[presence]], np.float32)})
    for name, value in (("nan", NAN), ("inf", INF)):
        landmarks, heatmap = whole["landmarks"].copy(), whole["heatmap"].copy()
        landmarks[0, ::7], heatmap[0, ::4, ::3] = value, value
        yield case(f"landmarks-{name}", {**whole, "landmarks": landmarks})
        yield case(f"heatmap-{name}", {**whole, "heatmap": heatmap})
    outside = whole["landmarks"].copy()
    outside[0, 0::5] += 50
    yield case("landmarks-outside", {**whole, "landmarks": outside})
    one_place = whole["landmarks"].copy()
    one_place[0, 33 * 5 :] = 20
    yield case("next-region-empty", {**{k: whole[k] for k in ("presence", "world")}, "landmarks": one_place})


def smooth_scores(rng: np.random.Generator, classes: int, height: int, width: int) -> NDArray[Any]:
    """Return logits (1, classes, height, width) whose largest class forms regions."""
    y, x = np.mgrid[0:height, 0:width]
    centres = rng.uniform(0, 1, (classes, 2)) * (height, width)
    distance = np.stack([np.hypot(y - cy, x - cx) for cy, cx in centres])
    return (6 - distance + rng.normal(0, 0.5, distance.shape))[None].astype(np.float32)


def segmentation_cases() -> Iterator[Case]:
    rng = np.random.default_rng(7)
    voc = smooth_scores(rng, 21, 16, 16)
    names = tuple(f"class {number}" for number in range(21))
    resizes: tuple[Resize, ...] = ("stretch", "letterbox", "corner")

    def case(name: str, scores: NDArray[Any], image_hw: tuple[int, int] = (29, 23), **more: Any) -> Case:
        region, size = more.pop("region", None), 32
        outputs = {"scores": scores}
        found = contract("segmentation", outputs, (size, size), labels=more.pop("labels", names), **more)
        return Case(name=f"segmentation/{name}", contract=found, outputs=outputs, image_hw=image_hw, region=region)

    for resize in resizes:
        yield case(f"logits/{resize}", voc, resize=resize, decoder="logits")
    yield case("logits/channels-last", np.moveaxis(voc, 1, 3), layout="NHWC", decoder="logits")
    yield case("logits/turned", voc, decoder="logits", region=Region(12.0, 14.0, 26.0, 0.5))
    yield case("logits/smaller-picture", voc, image_hw=(9, 7), decoder="logits")
    yield case("logits/undeclared", voc)
    yield case("logits/ties", np.zeros_like(voc), decoder="logits")
    broken = voc.copy()
    broken[0, 4, 3:6, 7] = NAN
    yield case("logits/nan", broken, decoder="logits")
    person = (1 / (1 + np.exp(-smooth_scores(rng, 1, 12, 16)))).astype(np.float32)
    for resize in resizes:
        both = ("background", "person")
        yield case(f"probability/{resize}", person, resize=resize, decoder="probability", labels=both)
    yield case("probability/threshold", person, decoder="probability", settings={"threshold": 0.8}, labels=("person",))
    back = Region(12.0, 14.0, 26.0, -0.5)
    yield case("probability/turned", person, decoder="probability", region=back, labels=("person",))
    yield case("probability/undeclared", person, labels=("person",))
    strange = person.copy()
    strange[0, 0, :3], strange[0, 0, 3:5], strange[0, 0, 5, 5] = 7.0, -7.0, NAN
    yield case("probability/out-of-range", strange, decoder="probability", labels=("person",))
    for resize in resizes:
        yield case(f"argmax/{resize}", voc, resize=resize, decoder="argmax")
    yield case("argmax/nan", broken, decoder="argmax")
    yield case("argmax/ties", np.zeros_like(voc), decoder="argmax")
    yield case("argmax/halves", voc, image_hw=(32, 32), decoder="argmax")
    yield case("threshold", person, decoder="threshold", settings={"threshold": 0.4}, labels=("person",))
    numbers = voc.argmax(axis=1)
    yield case("labels", numbers, decoder="labels", dtype="int64")
    yield case("labels/undeclared", numbers, dtype="int32")
    yield case("labels/too-large", numbers + 250, decoder="labels", dtype="int64")
    yield case("labels/negative", numbers - 1, decoder="labels", dtype="int64")
    yield case("unknown-decoder", voc, decoder="guess")


def panoptic_cases() -> Iterator[Case]:
    labels = ("person", "dog", "cat", "sky", "grass")
    base = {"things": 3, "thing_confidence": 0.5, "stuff_confidence": 0.4}

    def outputs(seed: int, queries: int, side: int, *, sure: float = 6.0) -> dict[str, NDArray[Any]]:
        rng = np.random.default_rng(seed)
        classes = rng.normal(0, 1, (1, queries, len(labels) + 1))
        classes[0, np.arange(queries), rng.integers(0, len(labels), queries)] += sure
        return {
            "class_logits": classes.astype(np.float32),
            "mask_logits": (2 * smooth_scores(rng, queries, side, side)).astype(np.float32),
        }

    def case(
        name: str, found: Outputs, settings: Mapping[str, Any] | None = None, *, size: int = 33,
        image_hw: tuple[int, int] = (25, 31), resize: Resize = "corner", layout: Layout = "NCHW",
    ) -> Case:  # fmt: skip
        own = contract(
            "panoptic", found, (size, size), resize=resize, layout=layout, decoder="mask-wise",
            settings={**base, **(settings or {})}, labels=labels,
        )  # fmt: skip
        return Case(name=f"panoptic/{name}", contract=own, outputs=found, image_hw=image_hw)

    for queries, side, size in ((8, 9, 33), (8, 8, 32), (20, 9, 33)):
        found = outputs(queries + side, queries, side)
        yield case(f"{queries}-queries-{size}", found, size=size)
        yield case(f"{queries}-queries-{size}-large", found, size=size, image_hw=(70, 53))
    plain = outputs(3, 8, 9)
    for resize, least in product(("stretch", "letterbox"), (0.2, 0.8)):
        yield case(f"{resize}/{least}", plain, {"least_visible": least}, resize=resize)  # type: ignore[arg-type]
    yield case("weights", plain, {"class_weight": 0.5, "mask_weight": 2.0, "pixel_confidence": 0.2})
    yield case("nobody-sure", outputs(4, 8, 9, sure=0.0), {"thing_confidence": 0.99, "stuff_confidence": 0.99})
    yield case("all-stuff", plain, {"things": 0})
    yield case("all-things", plain, {"things": 5})
    yield case("one-query", outputs(6, 1, 9))
    last = {"class_logits": plain["class_logits"], "mask_logits": np.moveaxis(plain["mask_logits"], 1, 3)}
    yield case("channels-last", last, layout="NHWC")
    yield case("things-out-of-range", plain, {"things": 6})
    yield case("unknown-setting", plain, {"thing": 3})
    fewer = {**plain, "mask_logits": plain["mask_logits"][:, :5]}
    yield case("fewer-masks", fewer)
    yield case("fewer-classes", {**plain, "class_logits": plain["class_logits"][..., :4]})


def picture_cases() -> Iterator[Case]:
    rng = np.random.default_rng(6)
    pixels = rng.uniform(-0.2, 1.2, (1, 3, 9, 12)).astype(np.float32)
    tokens = Contract(
        inputs=(TensorSpec(name="tokens", shape=(1, 16), dtype="int32"),),
        outputs=(TensorSpec(name="image", shape=pixels.shape, layout="NCHW"),),
        task="detokenization",
        postprocess=Postprocess(decoder="picture", settings={"codes": 4096}),
    )

    def case(name: str, array: NDArray[Any], layout: Layout = "NCHW", decoder: str = "picture") -> Case:
        own = msgspec.structs.replace(
            tokens,
            outputs=(TensorSpec(name="image", shape=array.shape, layout=layout),),
            postprocess=Postprocess(decoder=decoder, settings={"codes": 4096}),
        )
        return Case(name=f"picture/{name}", contract=own, outputs={"image": array}, image_hw=(1, 1))

    yield case("channels-first", pixels)
    yield case("channels-last", np.moveaxis(pixels, 1, 3), "NHWC")
    halves = ((np.arange(3 * 9 * 12) % 255 + 0.5) / 255).reshape(1, 3, 9, 12).astype(np.float32)
    yield case("halves", halves)
    yield case("one-plane", pixels[:, :1])
    yield case("unknown-decoder", pixels, decoder="guess")
