"""Segmentation: a class for every pixel of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract, Postprocess
from edge.errors import ContractError
from edge.images import warp_plane
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
    """Segment a picture; the first output has one plane of probability or one plane of logits a class.

    Decoders: `probability` (setting `threshold`, 0.5) and `logits` (softmax, resized, then the largest class: the
    order in which MediaPipe does it).
    """

    metric = "mean IoU"
    limit = 0.98
    needs_region = False

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Resize the picture into the contract's input."""
        return prepare(image, contract, region)

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> Segmentation:
        """Resize the planes to the picture and choose each pixel's class."""
        if not contract.outputs:
            raise ContractError("segmentation needs a contract with outputs")
        scores = planes(outputs, contract, contract.outputs[0].name)
        matrix = _to_scores(frame, (scores.shape[0], scores.shape[1]))
        decoder = contract.postprocess.decoder if contract.postprocess else _guess(scores)
        if decoder == "probability":
            probability = warp_plane(scores[..., 0], matrix, frame.image_hw)
            return from_probability(probability, contract.labels, contract.postprocess)
        if decoder == "logits":
            return Segmentation(_largest(_softmax(scores), matrix, frame.image_hw), contract.labels)
        raise ContractError(f"segmentation has no decoder {decoder!r}; it has probability and logits")

    def compare(self, result: Segmentation, reference: Segmentation) -> float:
        """Return the mean over the classes present in either map of intersection over union."""
        return mean_iou(result.classes, reference.classes)

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
    threshold = rule.settings.get("threshold", 0.5) if rule else 0.5
    if not isinstance(threshold, (int, float)):
        raise ContractError(f"postprocess.settings.threshold is {threshold!r}; it must be a number")
    names = ("background", *labels) if len(labels) == 1 else labels
    return Segmentation((probability > threshold).astype(np.uint8), names, probability)


def mean_iou(result: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return the mean over the classes in either map of |both| / |either|; 1 for equal maps."""
    if result.shape != reference.shape:
        raise ContractError(f"class maps differ in size: {list(result.shape)} and {list(reference.shape)}")
    classes = np.union1d(result, reference)
    return float(np.mean([iou(result == number, reference == number) for number in classes]))


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


def _guess(scores: NDArray[np.float32]) -> str:
    return "probability" if scores.shape[2] == 1 else "logits"
