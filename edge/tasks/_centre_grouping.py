"""Class scores, a map of centres and every pixel's way to its centre → segments of a picture.

Source: Cheng et al., Panoptic-DeepLab (CVPR 2020), sections 3.3 and 3.4: local maxima of the map are centres; a pixel
of a thing belongs to the centre nearest to where its offset points; the class of most of its pixels is the thing's;
stuff that covers too little is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.errors import ContractError
from edge.images import warp_nearest, warp_plane
from edge.tasks import Frame, Tensors
from edge.tasks._geometry import invert, planes, transform
from edge.tasks._maskwise import Merge
from edge.tasks._nearest import nearest_points
from edge.tasks._panoptic_quality import MOST_CLASSES
from edge.tasks._settings import settings_as
from edge.tasks._upsampled_classes import upsampled_classes

DECODER = "centre-grouping"
_FAR = 1e6  # pixels, beyond any picture; squares of it are still numbers
_CLASSES, _CENTRES, _OFFSETS = "semantic_logits", "centre_heatmap", "offsets"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the decoder; classes below `things` are things, lengths and areas in pixels of the input."""

    things: int
    centre_threshold: float = 0.1  # a centre's value is above it
    window: int = 7  # side of the square in which a centre has the largest value; odd
    most_centres: int = 200
    least_stuff: int = 2048  # area of stuff below which it is dropped

    def __post_init__(self) -> None:
        if self.window < 3 or self.window % 2 == 0:
            raise ValueError(f"window is {self.window}; it must be odd, and 3 at least")
        if self.centre_threshold < 0 or self.most_centres < 1:
            raise ValueError(
                f"centre_threshold {self.centre_threshold} must not be negative, most_centres {self.most_centres} be 1 "
                "at least"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Centres:
    """Centres of things: rows and columns (K,), and the map's value there (K,)."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """A map (H, W) of segment numbers from 1, 0 for none: things first, in the order of their centres, then stuff.

    `centre` has the number of a thing's centre, −1 for stuff.
    """

    ids: NDArray[np.uint16]
    categories: NDArray[np.intp]
    centre: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """Segments by score: the map (H, W), the former place of every segment, and the scores."""

    ids: NDArray[np.uint16]
    order: NDArray[np.intp]
    scores: NDArray[np.float64]


def rule_of(contract: Contract) -> Rule:
    """Return the decoder's settings; raises ContractError for unknown or senseless ones."""
    rule = settings_as(contract, Rule, DECODER)
    if not 0 <= rule.things <= len(contract.labels):
        raise ContractError(
            f"postprocess.settings.things is {rule.things}; it counts the first of the contract's "
            f"{len(contract.labels)} labels that are things"
        )
    if len(contract.labels) > MOST_CLASSES:
        raise ContractError(f"the contract has {len(contract.labels)} labels; {DECODER} takes {MOST_CLASSES} at most")
    return rule


def merge_centres(outputs: Tensors, contract: Contract, frame: Frame, rule: Rule) -> Merge:
    """Group at the input's size, where the picture lies in it; the picture's pixels take the nearest segment.

    "semantic_logits" have a plane a label, "centre_heatmap" one, "offsets" two, y and x, in pixels of the planes.
    """
    logits, heat, offsets = _planes(outputs, contract)
    stride = _stride(frame.tensor_hw, logits.shape)
    rows, columns = _inside(frame)
    part = (slice(*rows), slice(*columns))
    fine = [_enlarged(plane, stride)[part] for plane in (heat, *(offsets * np.float32(stride)))]
    centres = find_centres(fine[0], rule)
    groups = group(upsampled_classes(logits, stride)[part], centres, np.stack(fine[1:]), rule)
    at = np.ix_(*(_samples(ends, size, stride) for ends, size in zip((rows, columns), logits.shape[1:], strict=True)))
    ranked = _ranked(
        groups, centres, groups.ids[at[0] * stride + stride // 2 - rows[0], at[1] * stride + stride // 2 - columns[0]],
        _confidences(logits)[at],
    )  # fmt: skip
    shift = np.array([[0.0, 0.0, columns[0]], [0.0, 0.0, rows[0]]])
    whole = warp_nearest(ranked.ids, invert(frame.matrix) - shift, frame.image_hw)
    return Merge(whole, tuple(groups.categories[ranked.order].tolist()), tuple(ranked.scores.tolist()))


def _stride(tensor_hw: tuple[int, int], shape: tuple[int, ...]) -> int:
    """Return how many input pixels a pixel of the planes (C, h, w) is wide and high."""
    stride = -(-tensor_hw[0] // shape[1])
    if any(-(-size // stride) != plane for size, plane in zip(tensor_hw, shape[1:], strict=True)):
        raise ContractError(
            f"{_CLASSES}: planes of {list(shape[1:])} do not cover an input of {list(tensor_hw)} (height, width) with "
            "a whole number of its pixels to each of theirs"
        )
    return stride


def _samples(ends: tuple[int, int], size: int, stride: int) -> NDArray[np.intp]:
    """Return which of `size` plane pixels have their middle between two ends in input pixels."""
    middles = np.arange(size) * stride + stride // 2
    return np.flatnonzero((middles >= ends[0]) & (middles < ends[1]))


def find_centres(heat: NDArray[np.float32], rule: Rule) -> Centres:
    """Return the local maxima of a map (H, W) above the threshold, in reading order.

    Of equal ones that touch, which bilinear enlargement makes of one, the first remains; the published code keeps all.
    Of `most_centres` or more, those remain that are larger than the last one of so many, as in the published code.
    """
    peaks = heat == _window_maxima(heat, rule.window)
    peaks &= heat > rule.centre_threshold
    rows, columns = np.nonzero(peaks)
    around = np.pad(peaks, 1)
    earlier = ((0, 0), (0, 1), (0, 2), (1, 0))  # neighbours above and to the left
    first = ~np.any([around[rows + down, columns + right] for down, right in earlier], axis=0)
    rows, columns = rows[first], columns[first]
    scores = heat[rows, columns]
    if len(scores) >= rule.most_centres:
        least = np.partition(scores, -rule.most_centres)[-rule.most_centres]
        keep = scores > least
        rows, columns, scores = rows[keep], columns[keep], scores[keep]
    return Centres(rows, columns, scores)


def _window_maxima(heat: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Return the largest value in the square of side `window` around every pixel; NaN where it holds one."""
    reach = window // 2
    padded = np.pad(heat, reach, constant_values=-np.inf)
    for axis in (0, 1):
        size = 1  # of the stretch that every value is the maximum of
        while size < window:
            step = min(size, window - size)
            low, high = (slice(None, -step), slice(step, None))
            pair = (padded[low], padded[high]) if axis == 0 else (padded[:, low], padded[:, high])
            padded = np.maximum(*pair)
            size += step
    return padded


def group(classes: NDArray[np.uint8], centres: Centres, offsets: NDArray[np.float32], rule: Rule) -> Groups:
    """Group pixels of classes (H, W) into segments; `offsets` (2, H, W) lead to the centres, y then x, in pixels.

    Things without any centre in the picture, and stuff that is too small, belong to no segment.
    """
    labels = classes.ravel()
    areas = np.bincount(labels, minlength=rule.things + 1)
    stuff = np.flatnonzero(areas >= max(rule.least_stuff, 1))
    stuff = stuff[stuff >= rule.things]
    things = np.flatnonzero(labels < rule.things)
    if not len(things) or not len(centres.rows):
        numbers = np.zeros(len(areas), np.uint16)
        numbers[stuff] = np.arange(1, len(stuff) + 1)
        return Groups(numbers[classes], stuff, np.full(len(stuff), -1))
    member = _members(classes.shape, centres, offsets, things)
    votes = np.bincount(member * np.int32(rule.things) + labels[things], minlength=len(centres.rows) * rule.things)
    votes = votes.reshape(len(centres.rows), rule.things)
    found = np.flatnonzero(votes.any(axis=1))
    numbers = np.zeros(len(areas), np.uint16)
    numbers[stuff] = np.arange(len(stuff)) + len(found) + 1
    number_of = np.zeros(len(centres.rows), np.uint16)
    number_of[found] = np.arange(1, len(found) + 1)
    ids = numbers[classes]
    ids.reshape(-1)[things] = number_of[member]
    categories = np.concatenate([votes[found].argmax(axis=1), stuff])
    return Groups(ids, categories, np.concatenate([found, np.full(len(stuff), -1)]))


def _members(
    size_hw: tuple[int, ...], centres: Centres, offsets: NDArray[np.float32], pixels: NDArray[np.intp]
) -> NDArray[np.int32]:
    """Return the number of the centre nearest to where each of the pixels (n,) points."""
    height, width = size_hw
    y = (offsets[0] + np.arange(height, dtype=np.float32)[:, None]).ravel().take(pixels)
    x = (offsets[1] + np.arange(width, dtype=np.float32)).ravel().take(pixels)
    return nearest_points(y, x, centres.rows, centres.columns, (height, width))


def _planes(
    outputs: Tensors, contract: Contract
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return class scores (C, h, w), the centres' map (h, w) and offsets (2, h, w), all of them finite."""
    expected = {_CLASSES: len(contract.labels), _CENTRES: 1, _OFFSETS: 2}
    found: list[NDArray[np.float32]] = []
    for name, count in expected.items():
        values = np.moveaxis(planes(outputs, contract, name), 2, 0)
        if len(values) != count:
            raise ContractError(f"{name} has {len(values)} planes, expected {count}: one a label, one, or two offsets")
        if found and values.shape[1:] != found[0].shape[1:]:
            raise ContractError(
                f"{name} has planes of {list(values.shape[1:])}, {_CLASSES} of {list(found[0].shape[1:])}"
            )
        if not np.isfinite(values).all():
            values = np.nan_to_num(values, nan=0.0, posinf=_FAR, neginf=-_FAR)
        found.append(np.ascontiguousarray(values, np.float32))
    logits, heat, offsets = found
    return logits, heat[0], np.clip(offsets, -_FAR, _FAR)


def _inside(frame: Frame) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return first and last + 1 of the rows and of the columns of the input that show the picture."""
    height, width = frame.image_hw
    corners = transform(invert(frame.matrix), np.array([[0, 0], [width, 0], [0, height], [width, height]]))
    ends = []
    for axis, size in ((1, frame.tensor_hw[0]), (0, frame.tensor_hw[1])):
        low = int(np.clip(np.floor(corners[:, axis].min() + 1e-6), 0, size - 1))
        high = int(np.clip(np.ceil(corners[:, axis].max() - 1e-6), low + 1, size))
        ends.append((low, high))
    return ends[0], ends[1]


def _enlarged(plane: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Return a plane (h, w) bilinearly `stride` times as large."""
    step, shift = 1 / stride, 0.5 / stride - 0.5
    matrix = np.array([[step, 0.0, shift], [0.0, step, shift]])
    return warp_plane(plane, matrix, (plane.shape[0] * stride, plane.shape[1] * stride))


def _confidences(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability (h, w) of the most probable class."""
    powers = logits - logits.max(axis=0)
    np.exp(powers, out=powers)
    return np.asarray(1 / powers.sum(axis=0), np.float32)


def _ranked(groups: Groups, centres: Centres, sampled: NDArray[np.uint16], confidences: NDArray[np.float32]) -> _Ranked:
    """Order segments by score: the mean confidence of their classes, for things times the value of their centre.

    `sampled` are the segments (h, w) where the confidences (h, w) are. What lies between them has the centre's alone.
    """
    count = len(groups.categories)
    amounts = np.bincount(sampled.ravel(), minlength=count + 1)[1:]
    sums = np.bincount(sampled.ravel(), confidences.ravel(), minlength=count + 1)[1:]
    scores = np.divide(sums, amounts, out=np.ones(count), where=amounts > 0)
    thing = groups.centre >= 0
    scores[thing] *= np.clip(centres.scores[groups.centre[thing]], 0, 1)
    order = np.argsort(-scores, kind="stable")
    renumbered = np.zeros(count + 1, np.uint16)
    renumbered[order + 1] = np.arange(1, count + 1)
    return _Ranked(renumbered[groups.ids], order, scores[order])
