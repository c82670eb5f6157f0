"""Panoptic segmentation: every pixel belongs to one thing, or to a region of one kind of stuff."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.errors import ContractError
from edge.tasks import Frame, Image, Region, Tensors, _centre_grouping, task
from edge.tasks._geometry import prepare
from edge.tasks._maskwise import Merge, merge, rule_of
from edge.tasks._overlay import palette, tint
from edge.tasks._panoptic_quality import MOST_CLASSES, Quality, quality, tally

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
    crowd: bool = False  # of an annotation: things that nobody told apart


@dataclass(frozen=True, slots=True, eq=False)
class Panoptic:
    """The picture in segments: `ids` (H, W) holds each pixel's segment, 0 where there is none.

    `unlabelled` says what pixels of no segment are: nothing, as a model says it, or an annotator's void, which is
    left out of every comparison.
    """

    ids: NDArray[np.uint16]
    segments: tuple[Segment, ...]
    unlabelled: Literal["nothing", "void"] = "nothing"

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
    """Segment a picture by queries, or by classes and centres of things.

    The decoder `mask-wise` takes "class_logits" (1, L, classes + 1), the last for nothing, and "mask_logits"; it merges
    the queries' masks in the order of their confidence (settings: `edge.tasks._maskwise.Rule`). `centre-grouping` takes
    "semantic_logits" with a plane a class, "centre_heatmap" with one and "offsets" with two; it gives each pixel of a
    thing to the centre that its offset leads to (settings: `edge.tasks._centre_grouping.Rule`).
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
        """Find the segments; raises ContractError for outputs or settings that do not fit."""
        name = contract.postprocess.decoder if contract.postprocess else ""
        if name not in _DECODERS:
            raise ContractError(f"panoptic has no decoder {name!r}; it has {', '.join(_DECODERS)}")
        merged, things = _DECODERS[name](outputs, contract, frame)
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

        Of a reference whose pixels without a segment are no annotator's void, a segment that only one side has counts
        as a miss wherever it lies.
        """
        return tally(result, reference).ravel()

    def total(self, rows: NDArray[np.float64]) -> float:
        """Return the panoptic quality of pictures from their rows; 1 where neither side has any segment."""
        return self.quality(rows).pq

    def quality(self, rows: NDArray[np.float64], categories: slice = slice(None)) -> Quality:
        """Return PQ, SQ and RQ of pictures from their rows, of all classes or some: slice(things) are the things."""
        return quality(rows.reshape(len(rows), 3, MOST_CLASSES), categories)

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


def _by_masks(outputs: Tensors, contract: Contract, frame: Frame) -> tuple[Merge, int]:
    rule = rule_of(contract)
    return merge(outputs, contract, frame, rule), rule.things


def _by_centres(outputs: Tensors, contract: Contract, frame: Frame) -> tuple[Merge, int]:
    rule = _centre_grouping.rule_of(contract)
    return _centre_grouping.merge_centres(outputs, contract, frame, rule), rule.things


# What merges outputs into segments, and says how many of the first classes are things.
_DECODERS: Mapping[str, Callable[[Tensors, Contract, Frame], tuple[Merge, int]]] = {
    "mask-wise": _by_masks,
    _centre_grouping.DECODER: _by_centres,
}
