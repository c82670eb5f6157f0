"""Write apps/shared/golden/decode: outputs of models, and the results that the tasks decode from them.

Python, Kotlin and Swift must all reproduce them: numbers within 1e-6 of the largest, classes and ids exactly. Inputs
are random or worked out; "manifest" holds the contract. Where "raises" is true the outputs or settings are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.codes import pack_codes
from edge.contract import Contract, Preprocess
from edge.errors import ContractError, InputError
from edge.tasks import TASKS, Frame, Region
from edge.tasks._geometry import corner_matrix, letterbox_matrix, region_matrix, stretch_matrix
from edge.tasks._landmarks import Pose
from edge.tasks._overlay import class_layer, mask_layer
from edge.tasks.panoptic import Panoptic
from edge.tasks.pose import Detections, detection_region
from edge.tasks.segmentation import Segmentation
from edge.tasks.tokenizer import Picture
from scripts.decode_cases import Case, all_cases
from scripts.golden_vectors import Arrays, lines, manifest_of, write

FOREGROUND = np.array([255, 82, 134])
_MATRICES = {"stretch": stretch_matrix, "letterbox": letterbox_matrix, "corner": corner_matrix}


def frame_of(case: Case) -> Frame:
    """Return how the case's picture was brought into the tensor."""
    rule = case.contract.preprocess or Preprocess(size=case.tensor_hw)
    if case.region is not None:
        return Frame(case.image_hw, rule.size, region_matrix(case.region, rule.size), case.region)
    return Frame(case.image_hw, rule.size, _MATRICES[rule.resize](case.image_hw, rule.size))


def region_json(region: Region | None) -> list[float] | None:
    return None if region is None else [region.centre_x, region.centre_y, region.side, region.rotation]


def result_json(result: Any, arrays: Arrays) -> dict[str, Any]:
    """Return a decoded result's values."""
    if isinstance(result, Detections):
        regions = [detection_region(item) for item in result.items]
        rows = [(r.centre_x, r.centre_y, r.side, r.rotation) for r in regions]
        return {
            "scores": arrays.add(np.array([item.score for item in result.items], np.float64)),
            "boxes": arrays.add(np.array([item.box for item in result.items], np.float64)),
            "keypoints": arrays.add(np.array([item.keypoints for item in result.items], np.float64)),
            "regions": arrays.add(np.array(rows, np.float64)),
        }
    if isinstance(result, Pose):
        found = {
            name: arrays.add(np.asarray(getattr(result, name), np.float64))
            for name in ("score", "points", "visibility", "presence", "world")
        }
        mask = None if result.mask is None else arrays.add(result.mask)
        return {**found, "found": result.found, "mask": mask, "next_region": region_json(result.next_region)}
    if isinstance(result, Segmentation):
        probability = result.probability
        layer = class_layer(result.classes) if probability is None else mask_layer(probability, FOREGROUND)
        return {
            "classes": arrays.add(result.classes),
            "probability": None if probability is None else arrays.add(probability),
            "labels": list(result.labels),
            "layer": arrays.add(layer),
        }
    if isinstance(result, Panoptic):
        segments = [
            {"id": s.id, "category": s.category, "label": s.label, "is_thing": s.is_thing, "area": s.area}
            for s in result.segments
        ]
        scores = arrays.add(np.array([s.score for s in result.segments], np.float64))
        return {"ids": arrays.add(result.ids), "segments": segments, "scores": scores}
    if isinstance(result, Picture):
        return {"pixels": arrays.add(result.pixels)}
    raise TypeError(f"no vectors of {type(result).__name__}")


def as_json(case: Case, arrays: Arrays) -> dict[str, Any]:
    frame = frame_of(case)
    written: dict[str, Any] = {
        "name": case.name,
        "manifest": manifest_of(case.contract),
        "image_hw": list(case.image_hw),
        "tensor_hw": list(frame.tensor_hw),
        "region": region_json(case.region),
        "outputs": {name: arrays.add(array.astype(np.float32)) for name, array in case.outputs.items()},
    }
    try:
        result = TASKS[case.contract.task].decode(typed(case.outputs, case.contract), case.contract, frame)
    except ContractError:
        return {**written, "raises": True}
    return {**written, "raises": False, "result": result_json(result, arrays)}


def typed(outputs: Mapping[str, NDArray[Any]], contract: Contract) -> dict[str, NDArray[Any]]:
    """Return the outputs in the contract's dtypes: runtimes of the apps give floats for all."""
    dtypes = {spec.name: spec.dtype for spec in contract.outputs}
    return {name: array.astype(dtypes[name]) for name, array in outputs.items()}


def code_cases(arrays: Arrays) -> Iterator[dict[str, Any]]:
    """Yield ids and their packed bytes; ids that do not fit have none."""
    rng = np.random.default_rng(12)
    for bits in (1, 3, 8, 10, 12, 15, 16, 18, 24):
        for count in (0, 1, 2, 7, 32, 128):
            codes = rng.integers(0, 1 << bits, count)
            packed = np.frombuffer(pack_codes(codes, bits), np.uint8)
            yield {"bits": bits, "codes": arrays.add(codes.astype(np.int32)), "packed": arrays.add(packed)}
    for bits, bad in ((12, [4096]), (12, [-1]), (1, [2]), (16, [65536]), (0, [0]), (25, [0])):
        codes = np.array(bad, np.int32)
        try:
            pack_codes(codes, bits)
        except InputError:
            yield {"bits": bits, "codes": arrays.add(codes), "packed": None}


def vectors() -> dict[str, bytes]:
    """Return the files' contents by name."""
    arrays = Arrays()
    written = [as_json(case, arrays) for case in all_cases()]
    codes = list(code_cases(arrays))
    return {"decode.json": lines({"codes": codes}, written), "decode.bin": arrays.content()}


if __name__ == "__main__":
    write("decode", vectors())
