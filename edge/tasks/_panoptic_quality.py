"""Panoptic quality: how well segments agree, as recognition times segmentation.

Source: Kirillov et al., Panoptic Segmentation (CVPR 2019), sections 4.1 and 4.2; counted as in
github.com/cocodataset/panopticapi.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.errors import ContractError

if TYPE_CHECKING:
    from edge.tasks.panoptic import Panoptic

MOST_CLASSES = 256
_MATCH = 0.5  # segments that overlap by more than this are the same one: at most one can


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over the classes that occur, `classes` of them: PQ is SQ · RQ in every class, not in the mean.

    `pq` is the IoU of matches over matches and half of all misses, `sq` the mean IoU of matches, `rq` the matches over
    matches and half of all misses.
    """

    pq: float
    sq: float
    rq: float
    classes: int


def tally(result: Panoptic, reference: Panoptic) -> NDArray[np.float64]:
    """Return per class the sum of IoU over matches, the matches, and segments without one: (3, 256).

    Where the reference's unlabelled pixels are void, they are nobody's: they do not count in a union, and a segment
    that lies in them and in crowds of its class for more than half is no miss. Crowds match nothing.
    Raises ContractError for maps of different sizes and for more than 256 classes.
    """
    shared = _shared_pixels(result, reference)
    mine, theirs = _categories(result), _categories(reference)
    crowd = np.array([segment.crowd for segment in reference.segments], bool)
    void = shared[1:, 0] if reference.unlabelled == "void" else np.zeros(len(mine), np.int64)
    areas, other_areas, common = shared[1:].sum(axis=1), shared[:, 1:].sum(axis=0), shared[1:, 1:]
    same = mine[:, None] == theirs
    union = (areas - void)[:, None] + other_areas - common
    iou = np.divide(common, union, out=np.zeros(common.shape), where=union > 0)
    match = same & ~crowd & (iou > _MATCH)
    nobodys = void + np.where(same & crowd, common, 0).sum(axis=1)
    misses = ~match.any(axis=1) & ~(nobodys > areas / 2)
    missed = ~match.any(axis=0) & ~crowd
    row = np.zeros((3, MOST_CLASSES))
    found = np.nonzero(match)
    np.add.at(row[0], theirs[found[1]], iou[found])
    np.add.at(row[1], theirs[found[1]], 1)
    np.add.at(row[2], mine[misses], 1)
    np.add.at(row[2], theirs[missed], 1)
    return row


def quality(rows: NDArray[np.float64], categories: slice = slice(None)) -> Quality:
    """Return the quality over pictures from their tallies (pictures, 3, 256), of some classes; all 1 if none occurs."""
    overlap, matched, missed = rows.sum(axis=0)[:, categories]
    weight = matched + missed / 2
    occurs = weight > 0
    if not occurs.any():
        return Quality(1.0, 1.0, 1.0, 0)
    overlap, matched, weight = overlap[occurs], matched[occurs], weight[occurs]
    segmentation = np.divide(overlap, matched, out=np.zeros_like(overlap), where=matched > 0)
    return Quality(
        float((overlap / weight).mean()), float(segmentation.mean()), float((matched / weight).mean()), len(weight)
    )


def _categories(panoptic: Panoptic) -> NDArray[np.intp]:
    categories = np.array([segment.category for segment in panoptic.segments], np.intp)
    if len(outside := categories[(categories < 0) | (categories >= MOST_CLASSES)]):
        raise ContractError(
            f"a segment is of class {outside[0]}; panoptic quality counts classes 0 to {MOST_CLASSES - 1}"
        )
    return categories


def _shared_pixels(result: Panoptic, reference: Panoptic) -> NDArray[np.int64]:
    """Return how many pixels every two segments share: places in `segments` from 1, 0 for pixels without one."""
    if result.ids.shape != reference.ids.shape:
        raise ContractError(
            f"segment maps differ in size: {list(result.ids.shape)} and {list(reference.ids.shape)} (height, width)"
        )
    high, wide = len(result.segments) + 1, len(reference.segments) + 1
    pairs = _places(result) * wide + _places(reference)
    return np.bincount(pairs.ravel(), minlength=high * wide).reshape(high, wide)


def _places(panoptic: Panoptic) -> NDArray[np.intp]:
    """Return every pixel's place in `segments` from 1, 0 where it is in none of them."""
    if panoptic.ids.dtype == np.uint16:  # as decoders number: a table of all numbers is quicker than sorting the pixels
        numbers, pixels = np.arange(1 << 16), panoptic.ids.astype(np.intp)
    else:  # an annotator's numbers: COCO's go to 2²⁴
        numbers, pixels = np.unique(panoptic.ids, return_inverse=True)
    places = np.zeros(len(numbers), np.intp)
    for place, segment in enumerate(panoptic.segments, start=1):
        at = np.searchsorted(numbers, segment.id)
        if at < len(numbers) and numbers[at] == segment.id:
            places[at] = place
    return places[pixels].reshape(panoptic.ids.shape)
