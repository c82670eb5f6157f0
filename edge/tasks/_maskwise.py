"""Masks of queries → segments of a picture, by merging them mask after mask.

Source: the mask-wise merging of Yu et al., CMT-DeepLab (CVPR 2022) and k-means Mask Transformer (ECCV 2022): a softmax
over the queries gives every pixel away; confident queries, ordered by the confidence of class and mask, take the pixels
that are still free; one of whose mask too little is left is dropped; regions of one kind of stuff are one segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.errors import ContractError
from edge.images import warp_nearest, warp_plane
from edge.tasks import Frame, Tensors
from edge.tasks._geometry import invert, output

_DECODER = "mask-wise"
_BAND_VALUES = 1 << 24  # masks are resized in bands of rows of about this many values, so that memory stays small


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the decoder; classes below `things` are things, confidences and weights as in the papers."""

    things: int
    pixel_confidence: float = 0.4  # of a query in a pixel, above which the pixel is in its mask
    thing_confidence: float = 0.7  # of a query's class, above which it counts
    stuff_confidence: float = 0.5
    least_visible: float = 0.8  # share of a mask that has to be free still
    class_weight: float = 1.0  # exponents of the two confidences in the order
    mask_weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """A map (H, W) of segment numbers from 1, 0 for none; class and confidence of the segments in that order."""

    ids: NDArray[np.uint16]
    categories: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Mask:
    """The pixels of a confident query, as positions in the flattened picture, and the confidence of class and mask."""

    category: int
    score: float
    pixels: NDArray[np.int32]


def rule_of(contract: Contract) -> Rule:
    """Return the decoder's settings; raises ContractError without them, for unknown ones and for other decoders."""
    rule = contract.postprocess
    if rule is None or rule.decoder != _DECODER:
        raise ContractError(f"panoptic has no decoder {rule.decoder if rule else ''!r}; it has {_DECODER}")
    try:
        found = msgspec.convert(rule.settings, Rule)
    except msgspec.ValidationError as error:
        raise ContractError(f"postprocess.settings of {_DECODER}: {error}") from None
    if not 0 <= found.things <= len(contract.labels):
        raise ContractError(
            f"postprocess.settings.things is {found.things}; it counts the first of the contract's "
            f"{len(contract.labels)} labels that are things"
        )
    return found


def merge(outputs: Tensors, contract: Contract, frame: Frame, rule: Rule) -> Merge:
    """Merge "class_logits" (1, L, classes + 1) and "mask_logits" (1, L, h, w) into segments of the picture.

    A picture that is larger than the model's input is merged at the input's size; its pixels take the nearest segment.
    """
    picture_hw = frame.image_hw
    frame = bounded(frame)
    ids = np.zeros(frame.image_hw[0] * frame.image_hw[1], np.uint16)
    stuff: dict[int, int] = {}
    kept: list[_Mask] = []
    for mask in sorted(_confident_masks(outputs, contract, frame, rule), key=lambda mask: -mask.score):
        free = mask.pixels[ids[mask.pixels] == 0]
        if not len(free) > len(mask.pixels) * rule.least_visible:
            continue
        number = stuff.get(mask.category, len(kept) + 1)
        ids[free] = number
        if number > len(kept):
            kept.append(mask)
            if mask.category >= rule.things:
                stuff[mask.category] = number
    shrink = np.array([[frame.image_hw[1] / picture_hw[1], 0, 0], [0, frame.image_hw[0] / picture_hw[0], 0]])
    whole = warp_nearest(ids.reshape(frame.image_hw), shrink, picture_hw)
    return Merge(whole, tuple(mask.category for mask in kept), tuple(mask.score for mask in kept))


def bounded(frame: Frame) -> Frame:
    """Return the frame of a picture whose longer side is at most the model's: its masks show nothing finer."""
    scale = max(frame.tensor_hw) / max(frame.image_hw)
    if scale >= 1:
        return frame
    height, width = (max(1, round(size * scale)) for size in frame.image_hw)
    factors = np.array([[width / frame.image_hw[1]], [height / frame.image_hw[0]]])
    return Frame((height, width), frame.tensor_hw, frame.matrix * factors, frame.region)


def _confident_masks(outputs: Tensors, contract: Contract, frame: Frame, rule: Rule) -> list[_Mask]:
    categories, scores = _classes(outputs, contract)
    confident = scores > np.where(categories < rule.things, rule.thing_confidence, rule.stuff_confidence)
    if not confident.any():
        return []
    found: dict[int, list[NDArray[np.int32]]] = {int(query): [] for query in np.flatnonzero(confident)}
    sums = dict.fromkeys(found, 0.0)
    for first, shares in _bands(outputs, contract, frame, len(categories)):
        for query, parts in found.items():
            inside = np.flatnonzero(shares[query] > rule.pixel_confidence)
            sums[query] += float(shares[query].ravel()[inside].sum(dtype=np.float64))
            parts.append((inside + first).astype(np.int32))
    masks = []
    for query, parts in found.items():
        pixels = np.concatenate(parts)
        mean = sums[query] / max(len(pixels), 1)
        score = float(scores[query]) ** rule.class_weight * mean**rule.mask_weight
        masks.append(_Mask(int(categories[query]), score, pixels))
    return masks


def _classes(outputs: Tensors, contract: Contract) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return every query's best class but nothing, and its probability."""
    logits, _ = output(outputs, contract, "class_logits")
    expected = len(contract.labels) + 1
    if logits.ndim != 3 or logits.shape[2] != expected:
        raise ContractError(
            f"class_logits: shape {list(logits.shape)} is not (1, queries, {expected}), a value for each of the "
            f"contract's {expected - 1} labels and one for nothing"
        )
    powers = np.exp(logits[0].astype(np.float64) - logits[0].max(axis=1, keepdims=True))
    shares = (powers / powers.sum(axis=1, keepdims=True))[:, :-1]
    return shares.argmax(axis=1), shares.max(axis=1)


def _bands(
    outputs: Tensors, contract: Contract, frame: Frame, queries: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield bands of the picture: the first pixel's position, and every query's share of each pixel (L, rows, W)."""
    logits, spec = output(outputs, contract, "mask_logits")
    if logits.ndim != 4 or spec.layout == "":
        raise ContractError(f"mask_logits: shape {list(spec.shape)} needs 4 axes and a layout, NCHW or NHWC")
    planes = logits[0] if spec.layout == "NCHW" else np.moveaxis(logits[0], 2, 0)
    if len(planes) != queries:
        raise ContractError(f"mask_logits has {len(planes)} planes for the {queries} queries of class_logits")
    matrix = invert(frame.matrix) * _scale(frame.tensor_hw, (planes.shape[1], planes.shape[2]))
    height, width = frame.image_hw
    step = max(1, _BAND_VALUES // (queries * width))
    for top in range(0, height, step):
        rows = min(step, height - top)
        moved = np.concatenate([matrix[:, :2], matrix[:, 2:] + matrix[:, 1:2] * top], axis=1)
        shares = np.stack([warp_plane(plane, moved, (rows, width)) for plane in planes])
        shares -= shares.max(axis=0)
        np.exp(shares, out=shares)
        shares /= shares.sum(axis=0)
        yield top * width, shares


def _scale(tensor_hw: tuple[int, int], masks_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Return how many mask pixels an input pixel is wide and high, (2, 1); odd axes are aligned at their ends."""
    sizes = [
        (mask - 1) / (tensor - 1) if tensor % 2 and tensor > 1 else mask / tensor
        for tensor, mask in zip(tensor_hw, masks_hw, strict=True)
    ]
    return np.array([[sizes[1]], [sizes[0]]])
