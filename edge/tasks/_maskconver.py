"""Centres and embeddings → segments of a picture: every pixel goes to the centre that claims it most.

Source: Rashwan et al., MaskConver (arXiv:2312.06052), and tensorflow/models, official/projects/maskconver: a centre is
the largest of its class among its neighbours; a pixel is its centre's with the largest product of mask and score; a
centre is dropped if it wins few pixels, or few of those in which its mask is above one half; regions of one kind of
stuff are one segment.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from edge.codebooks import codebook
from edge.contract import Contract
from edge.errors import ContractError
from edge.images import warp_nearest, warp_plane
from edge.tasks import Frame, Tensors
from edge.tasks._geometry import invert, planes
from edge.tasks._maskwise import Merge, bounded
from edge.tasks._settings import settings_as

DECODER = "mask-centres"
_BAND_VALUES = 1 << 24  # masks are resized in bands of rows of about this many values, so that memory stays small
_EPSILON = 1e-6  # of the layer norm
_LARGEST = 80.0  # of a logit: e^80 is still a float32


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the decoder; classes 1 to `things` − 1 are things, class 0 is nothing.

    The codebook holds the weights that make masks of centres, as `edge.zoo._maskconver.MaskConver.mask_embedding`.
    """

    things: int
    centres: int = 50  # at most so many count
    threshold: float = 0.01  # score of a centre, above which it counts
    overlap: float = 0.7  # share of its mask that a centre has to win, at least
    least_area: float = 256 / 640**2  # pixels a centre has to win, as a share of the picture's longer side squared
    codebook: str = ""
    codes: int = 0
    depth: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Centres:
    """Centres, best first: scores in 0…1 and classes (K), mask logits (K, h, w)."""

    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    masks: NDArray[np.float32]


def rule_of(contract: Contract) -> Rule:
    """Return the decoder's settings; raises ContractError for unknown ones, and where `things` is missing."""
    found = settings_as(contract, Rule, DECODER)
    if not 1 <= found.things <= len(contract.labels):
        raise ContractError(
            f"postprocess.settings.things is {found.things}; it counts the first of the contract's "
            f"{len(contract.labels)} labels that are nothing (the first) or things"
        )
    return found


def merge(outputs: Tensors, contract: Contract, frame: Frame, rule: Rule) -> Merge:
    """Merge "class_heatmap" (1, classes, h, w), "centre_embeddings" and "pixel_embeddings" (1, D, h, w) into segments.

    A picture that is larger than the model's input is merged at the input's size; its pixels take the nearest segment.
    """
    picture_hw, frame = frame.image_hw, bounded(frame)
    centres = find_centres(outputs, contract, rule)
    winners, inside = _winners(centres, frame)
    won = np.bincount(winners.ravel(), minlength=len(centres.scores))[: len(centres.scores)]
    kept = (inside > 0) & (won > rule.overlap * inside) & (won > rule.least_area * max(frame.image_hw) ** 2)
    numbers, found = _numbered(kept & (centres.classes > 0), centres.classes, rule.things)
    ids = numbers[winners] if len(numbers) else np.zeros(frame.image_hw, np.uint16)
    shrink = np.array([[frame.image_hw[1] / picture_hw[1], 0, 0], [0, frame.image_hw[0] / picture_hw[0], 0]])
    whole = warp_nearest(ids, shrink, picture_hw)
    return Merge(whole, tuple(centres.classes[found].tolist()), tuple(centres.scores[found].tolist()))


def find_centres(outputs: Tensors, contract: Contract, rule: Rule) -> Centres:
    """Return the likeliest centres above the threshold and their masks; raises ContractError for what does not fit."""
    heatmap, embeddings, pixels = (
        np.moveaxis(planes(outputs, contract, name), 2, 0)
        for name in ("class_heatmap", "centre_embeddings", "pixel_embeddings")
    )
    if len(heatmap) != len(contract.labels) or not heatmap.shape[1:] == embeddings.shape[1:] == pixels.shape[1:]:
        raise ContractError(
            f"class_heatmap {list(heatmap.shape)}, centre_embeddings {list(embeddings.shape)} and pixel_embeddings "
            f"{list(pixels.shape)} need one size, and the heatmap a plane for each of {len(contract.labels)} labels"
        )
    scores, classes, places = peaks(heatmap, rule.centres, rule.threshold)
    features = embeddings.reshape(len(embeddings), -1)[:, places].T  # (K, D)
    masks = _embedded(features, classes, contract) @ pixels.reshape(len(pixels), -1)
    return Centres(scores, classes, np.asarray(masks.reshape(-1, *pixels.shape[1:]), np.float32))


def peaks(
    heatmap: NDArray[np.float32], count: int, threshold: float
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return scores, classes and places (row · w + column) of at most `count` peaks of logits (classes, h, w).

    A peak is the largest of its class among its eight neighbours, and its score above the threshold; what is no number
    is no peak. Of equal scores the first class and place come first.
    """
    logits = np.where(np.isnan(heatmap), -np.inf, heatmap)
    alone = (logits >= maximum_filter(logits, size=(1, 3, 3), mode="constant", cval=-np.inf)) & np.isfinite(heatmap)
    found = np.flatnonzero(alone)
    scores = _sigmoid(logits.ravel()[found])
    found, scores = found[scores > threshold], scores[scores > threshold]
    best = np.argsort(-scores, kind="stable")[:count]
    classes, places = np.divmod(found[best], heatmap.shape[1] * heatmap.shape[2])
    return scores[best], classes, places


def _embedded(features: NDArray[np.float32], classes: NDArray[np.int64], contract: Contract) -> NDArray[np.float32]:
    """Turn the features (K, D) of centres and their classes into mask embeddings (K, D)."""
    rule = contract.postprocess
    if rule is None:
        raise ContractError(f"panoptic has no decoder; {DECODER} needs postprocess")
    weights, width = codebook(rule), features.shape[1]
    if weights.shape != (len(contract.labels) + 2 * width + 4, width):
        raise ContractError(
            f"a codebook of {list(weights.shape)} numbers does not make masks of {len(contract.labels)} classes and "
            f"{width} planes; that takes {[len(contract.labels) + 2 * width + 4, width]}"
        )
    starts = np.cumsum([len(contract.labels), width, 1, 1, 1, width])
    table, hidden, bias, scale, shift, out, offset = np.split(weights, starts)
    x = (features * table[classes]) @ hidden.T + bias
    centred = x - x.mean(axis=1, keepdims=True)
    normed = centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + np.float32(_EPSILON)) * scale + shift
    return np.asarray(np.maximum(normed, 0) @ out.T + offset, np.float32)


def _winners(centres: Centres, frame: Frame) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return each pixel's centre (H, W), and of each centre the pixels in which its mask is above one half (K)."""
    height, width = frame.image_hw
    winners, inside = np.zeros((height, width), np.intp), np.zeros(len(centres.scores), np.int64)
    if not len(centres.scores):
        return winners, inside
    sizes = zip(centres.masks.shape[:0:-1], frame.tensor_hw[::-1], strict=True)
    matrix = invert(frame.matrix) * np.array([[mask / tensor] for mask, tensor in sizes])
    step = max(1, _BAND_VALUES // (len(centres.scores) * width))
    for top in range(0, height, step):
        rows = min(step, height - top)
        moved = np.concatenate([matrix[:, :2], matrix[:, 2:] + matrix[:, 1:2] * top], axis=1)
        shares = _sigmoid(np.stack([warp_plane(plane, moved, (rows, width)) for plane in centres.masks]))
        inside += np.count_nonzero(shares > 0.5, axis=(1, 2))
        shares *= centres.scores[:, None, None]
        winners[top : top + rows] = shares.argmax(axis=0)
    return winners, inside


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + e^−x) in single precision; what is no number is in no mask."""
    bounded_logits = np.clip(np.nan_to_num(logits, nan=-_LARGEST), -_LARGEST, _LARGEST)
    return np.asarray(1 / (1 + np.exp(-bounded_logits, dtype=np.float32)), np.float32)


def _numbered(kept: NDArray[np.bool_], classes: NDArray[np.int64], things: int) -> tuple[NDArray[np.uint16], list[int]]:
    """Number the kept centres' segments from 1, one kind of stuff alike, 0 for the others; say whose they are."""
    numbers = np.zeros(len(kept), np.uint16)
    stuff: dict[int, int] = {}
    found: list[int] = []
    for centre in np.flatnonzero(kept).tolist():
        category = int(classes[centre])
        number = stuff.get(category, len(found) + 1)
        numbers[centre] = number
        if number > len(found):
            found.append(centre)
            if category >= things:
                stuff[category] = number
    return numbers, found
