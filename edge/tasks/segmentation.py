"""Segmentation: a class for every pixel of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract, Postprocess
from edge.errors import ContractError
from edge.images import warp_nearest, warp_plane
from edge.tasks import Frame, Image, Region, Tensors, task
from edge.tasks._geometry import invert, planes, prepare
from edge.tasks._overlay import palette, tint

_FOREGROUND = np.array([255, 82, 134])  # of a mask with one class


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """A class map of the picture.

    `classes` (H, W) holds class numbers; for one foreground class they are 0 and 1, and `probability` (H, W) is what
    the model said. `labels` names the classes by number.
    """

    classes: NDArray[np.uint8]
    labels: tuple[str, ...]
    probability: NDArray[np.float32] | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compare: all of the picture is class 0, the background."""
        return not self.classes.any()

    def to_json(self) -> dict[str, Any]:
        """Return the picture's size and each class's share of its pixels, largest first."""
        numbers, counts = np.unique(self.classes, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return {
            "size": list(self.classes.shape),
            "classes": [
                {"class": int(numbers[i]), "label": self.label(int(numbers[i])), "share": round(float(share), 5)}
                for i, share in zip(order, counts[order] / self.classes.size, strict=True)
            ],
        }

    def label(self, number: int) -> str:
        """Return the class's name, or its number where it has none."""
        return self.labels[number] if number < len(self.labels) else str(number)


@task("segmentation")
class SegmentationTask:
    """Segment a picture; the first output has one plane of probability, one plane of scores a class, or class numbers.

    Decoders: `probability` (setting `threshold`, 0.5) and `logits` (softmax, resized, then the largest class: the
    order in which MediaPipe does it) choose at the picture's size. `argmax` (the largest score's class), `threshold`
    (class 1 above the setting `threshold`) and `labels` (class numbers as they are) choose at the model's size, and
    every pixel of the picture takes the nearest choice. Without a stated decoder, integers are `labels`.
    """

    metric = "mean IoU"
    limit = 0.98
    needs_region = False
    result = Segmentation

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Resize the picture into the contract's input."""
        return prepare(image, contract, region)

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> Segmentation:
        """Resize the planes to the picture and choose each pixel's class."""
        if not contract.outputs:
            raise ContractError("segmentation needs a contract with outputs")
        decoder = decoder_of(contract)
        if decoder in CLASS_MAPS:
            classes = class_map(outputs, contract)
            matrix = _to_scores(frame, (classes.shape[0], classes.shape[1]))
            return Segmentation(warp_nearest(classes, matrix, frame.image_hw), _names(contract.labels, decoder))
        scores = planes(outputs, contract, contract.outputs[0].name)
        matrix = _to_scores(frame, (scores.shape[0], scores.shape[1]))
        if decoder == "probability":
            probability = warp_plane(scores[..., 0], matrix, frame.image_hw)
            return from_probability(probability, contract.labels, contract.postprocess)
        if decoder == "logits":
            return Segmentation(_largest(_softmax(scores), matrix, frame.image_hw), contract.labels)
        known = ", ".join(("probability", "logits", *CLASS_MAPS))
        raise ContractError(f"segmentation has no decoder {decoder!r}; it has {known}")

    def compare(self, result: Segmentation, reference: Segmentation) -> float:
        """Return the mean over the classes present in either map of intersection over union."""
        return mean_iou(result.classes, reference.classes)

    def compare_all(self, pairs: Sequence[tuple[Segmentation, Segmentation]]) -> float:
        """Return the mean over classes of intersection over union, each summed over all pictures.

        Source: the PASCAL VOC devkit (Everingham et al. 2010): per class over the whole set, then the mean.
        """
        return self.total(np.stack([self.measure(result, reference) for result, reference in pairs]))

    def measure(self, result: Segmentation, reference: Segmentation) -> NDArray[np.float64]:
        """Return each class's pixels in both maps, then in either, as one row."""
        return np.concatenate(overlaps(result.classes, reference.classes)).astype(np.float64)

    def total(self, rows: NDArray[np.float64]) -> float:
        """Return the mean over the classes that any picture holds of both / either, each summed over the pictures."""
        both, either = rows.sum(axis=0).reshape(2, MOST_CLASSES)
        return float((both[either > 0] / either[either > 0]).mean())

    def draw(self, image: Image, result: Segmentation) -> Image:
        """Return the picture with every class tinted in its colour and outlined."""
        if result.probability is not None:
            return tint(image, _FOREGROUND, result.probability)
        colours = palette(int(result.classes.max()) + 1)
        drawn = image
        for number in np.unique(result.classes[result.classes > 0]):
            drawn = tint(drawn, colours[number], (result.classes == number).astype(np.float32), strength=0.5)
        return drawn


def from_probability(
    probability: NDArray[np.float32], labels: tuple[str, ...], rule: Postprocess | None
) -> Segmentation:
    """Return classes 0 and 1 by the threshold in the settings; a single label names class 1."""
    classes = (probability > _threshold(rule)).astype(np.uint8)
    return Segmentation(classes, _names(labels, "probability"), probability)


CLASS_MAPS = ("argmax", "threshold", "labels")  # decoders that choose classes at the model's size
MOST_CLASSES = 256


def decoder_of(contract: Contract) -> str:
    """Return the decoder that the contract names, or the one that its first output's type and planes ask for."""
    if contract.postprocess is not None:
        return contract.postprocess.decoder
    spec = contract.outputs[0]
    if not spec.dtype.startswith("float"):
        return "labels"
    channels = spec.shape[{"NCHW": 1, "NHWC": 3}[spec.layout]] if spec.layout else 0
    return "probability" if channels == 1 else "logits"


def class_map(outputs: Tensors, contract: Contract) -> NDArray[np.uint8]:
    """Return the class (H, W) of every pixel of the first output, by one of CLASS_MAPS; of equal scores the first."""
    spec, decoder = contract.outputs[0], decoder_of(contract)
    if decoder == "labels":
        classes = _label_plane(np.asarray(outputs[spec.name]), spec.name)
    else:
        scores = planes(outputs, contract, spec.name)
        classes = scores.argmax(axis=2) if decoder == "argmax" else scores[..., 0] > _threshold(contract.postprocess)
    if int(classes.max()) >= MOST_CLASSES or int(classes.min()) < 0:
        raise ContractError(f"{spec.name}: class {int(classes.max())} is out of range; at most {MOST_CLASSES} classes")
    return classes.astype(np.uint8)


def _label_plane(labels: NDArray[Any], name: str) -> NDArray[Any]:
    sizes = labels.shape
    while len(sizes) > 2 and 1 in (sizes[0], sizes[-1]):
        sizes = sizes[1:] if sizes[0] == 1 else sizes[:-1]
    if len(sizes) != 2:
        raise ContractError(f"{name}: class numbers need shape (1, H, W), not {list(labels.shape)}")
    return labels.reshape(sizes)


def _threshold(rule: Postprocess | None) -> float:
    threshold = rule.settings.get("threshold", 0.5) if rule else 0.5
    if not isinstance(threshold, (int, float)):
        raise ContractError(f"postprocess.settings.threshold is {threshold!r}; it must be a number")
    return threshold


def _names(labels: tuple[str, ...], decoder: str) -> tuple[str, ...]:
    """Return the classes' names by number; a single label of two classes names class 1."""
    return ("background", *labels) if len(labels) == 1 and decoder != "logits" else labels


def mean_iou(result: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return the mean over the classes in either map of |both| / |either|; 1 for equal maps."""
    both, either = overlaps(result, reference)
    return float((both[either > 0] / either[either > 0]).mean())


def overlaps(result: NDArray[Any], reference: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many pixels each of the 256 classes has in both maps, and in either; raises ContractError by size."""
    if result.shape != reference.shape:
        raise ContractError(f"class maps differ in size: {list(result.shape)} and {list(reference.shape)}")
    same = result[result == reference]
    both, mine, theirs = (np.bincount(part.ravel(), minlength=MOST_CLASSES) for part in (same, result, reference))
    return both, mine + theirs - both


def iou(result: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Return |both| / |either| of two masks; 1 if both are empty."""
    either = int(np.logical_or(result, reference).sum())
    return int(np.logical_and(result, reference).sum()) / either if either else 1.0


def _to_scores(frame: Frame, scores_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Map picture pixels to the score planes, which may be smaller than the input tensor."""
    scale = np.array([[scores_hw[1] / frame.tensor_hw[1]], [scores_hw[0] / frame.tensor_hw[0]]])
    return np.asarray(invert(frame.matrix) * scale)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.asarray(powers / powers.sum(axis=2, keepdims=True), np.float32)


def _largest(scores: NDArray[np.float32], matrix: NDArray[np.float64], image_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the number of the largest plane at every picture pixel, one plane in memory at a time."""
    classes = np.zeros(image_hw, np.uint8)
    best = warp_plane(scores[..., 0], matrix, image_hw)
    for number in range(1, scores.shape[2]):
        plane = warp_plane(scores[..., number], matrix, image_hw)
        better = plane > best
        classes[better] = number
        np.maximum(best, plane, out=best)
    return classes
