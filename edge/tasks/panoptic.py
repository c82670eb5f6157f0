"""Panoptic segmentation: every pixel belongs to one thing, or to a region of one kind of stuff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.errors import ContractError
from edge.tasks import Frame, Image, Region, Tensors, _maskconver, task
from edge.tasks._geometry import prepare
from edge.tasks._maskwise import Merge, merge, rule_of
from edge.tasks._overlay import palette, tint

_MATCH = 0.5  # segments that overlap by more than this are the same one: at most one can
_MOST_CLASSES = 256
_STRENGTH = 0.5


@dataclass(frozen=True, slots=True)
class Segment:
    """One thing, or all regions of one kind of stuff; `area` in pixels of the picture, `score` in 0…1."""

    id: int
    category: int
    label: str
    is_thing: bool
    score: float
    area: int


@dataclass(frozen=True, slots=True, eq=False)
class Panoptic:
    """The picture in segments: `ids` (H, W) holds each pixel's segment, 0 where there is none."""

    ids: NDArray[np.uint16]
    segments: tuple[Segment, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compare: no segment at all."""
        return not self.segments

    def to_json(self) -> dict[str, Any]:
        """Return the picture's size and the segments, best first."""
        return {
            "size": list(self.ids.shape),
            "segments": [
                {
                    "id": segment.id,
                    "category": segment.category,
                    "label": segment.label,
                    "is_thing": segment.is_thing,
                    "score": round(segment.score, 5),
                    "area": segment.area,
                }
                for segment in self.segments
            ],
        }


@task("panoptic")
class PanopticTask:
    """Segment a picture by queries: "class_logits" (1, L, classes + 1), the last for nothing, and "mask_logits".

    The decoder `mask-wise` merges the queries' masks in the order of their confidence; its settings are those of
    `edge.tasks._maskwise.Rule`. The decoder `mask-centres` takes "class_heatmap", "centre_embeddings" and
    "pixel_embeddings", with the settings of `edge.tasks._maskconver.Rule`.
    """

    metric = "PQ"
    limit = 0.95
    needs_region = False
    result = Panoptic

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Resize the picture into the contract's input."""
        return prepare(image, contract, region)

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> Panoptic:
        """Merge the masks at the picture's size; raises ContractError for outputs or settings that do not fit."""
        if contract.postprocess is not None and contract.postprocess.decoder == _maskconver.DECODER:
            centres = _maskconver.rule_of(contract)
            merged, things = _maskconver.merge(outputs, contract, frame, centres), centres.things
        else:
            rule = rule_of(contract)
            merged, things = merge(outputs, contract, frame, rule), rule.things
        return Panoptic(merged.ids, _segments(merged, contract.labels, things))

    def compare(self, result: Panoptic, reference: Panoptic) -> float:
        """Return the panoptic quality of one picture."""
        return self.total(self.measure(result, reference)[None])

    def compare_all(self, pairs: Sequence[tuple[Panoptic, Panoptic]]) -> float:
        """Return the panoptic quality over all pictures.

        Source: Kirillov et al., Panoptic Segmentation (CVPR 2019): per class the matches' IoU over matches and half of
        all misses, then the mean over the classes that occur.
        """
        return self.total(np.stack([self.measure(result, reference) for result, reference in pairs]))

    def measure(self, result: Panoptic, reference: Panoptic) -> NDArray[np.float64]:
        """Return per class the sum of IoU over matches, the matches, and the segments without one, as one row.

        Pixels without a segment are no annotator's void here: a segment that only one side has counts as a miss.
        """
        row = np.zeros((3, _MOST_CLASSES))
        for segment in (*result.segments, *reference.segments):
            row[2, segment.category] += 1
        for category, iou in _matches(result, reference):
            row[:, category] += (iou, 1, -2)
        return row.ravel()

    def total(self, rows: NDArray[np.float64]) -> float:
        """Return the panoptic quality of pictures from their rows; 1 where neither side has any segment."""
        overlap, matched, missed = rows.sum(axis=0).reshape(3, _MOST_CLASSES)
        weight = matched + missed / 2
        occurs = weight > 0
        return float((overlap[occurs] / weight[occurs]).mean()) if occurs.any() else 1.0

    def draw(self, image: Image, result: Panoptic) -> Image:
        """Return the picture with every segment tinted in a colour of its own and outlined."""
        colours = palette(len(result.segments) + 1)
        drawn = image
        for number, segment in enumerate(result.segments, start=1):
            mask = (result.ids == segment.id).astype(np.float32)
            drawn = tint(drawn, colours[number], mask, strength=_STRENGTH)
        return drawn


def _segments(merged: Merge, labels: tuple[str, ...], things: int) -> tuple[Segment, ...]:
    areas = np.bincount(merged.ids.ravel(), minlength=len(merged.categories) + 1)
    return tuple(
        Segment(number, category, labels[category], category < things, score, int(areas[number]))
        for number, (category, score) in enumerate(zip(merged.categories, merged.scores, strict=True), start=1)
    )


def _matches(result: Panoptic, reference: Panoptic) -> list[tuple[int, float]]:
    """Return category and IoU of every pair of segments of one category that overlap by more than half."""
    if result.ids.shape != reference.ids.shape:
        raise ContractError(
            f"segment maps differ in size: {list(result.ids.shape)} and {list(reference.ids.shape)} (height, width)"
        )
    base = int(reference.ids.max(initial=0)) + 1
    both, counts = np.unique(result.ids.astype(np.int64) * base + reference.ids, return_counts=True)
    shared = dict(zip(both.tolist(), counts.tolist(), strict=True))
    found = []
    for mine in result.segments:
        for theirs in reference.segments:
            common = shared.get(mine.id * base + theirs.id, 0)
            if mine.category == theirs.category and common:
                iou = common / (mine.area + theirs.area - common)
                found += [(theirs.category, iou)] if iou > _MATCH else []
    return found
