"""Segmentation: a class for every pixel of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.errors import ContractError
from edge.images import warp_plane
from edge.tasks import Frame, Image, Region, Tensors, task
from edge.tasks._geometry import invert, planes, prepare
from edge.tasks._overlay import blend, palette

_FOREGROUND = np.array([255, 82, 134])  # of a mask with one class
_STRENGTH = 0.55


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """A class map of the picture.

    `classes` (H, W) holds class numbers; for one foreground class they are 0 and 1, and `probability` (H, W) is what
    the model said. `labels` names the classes by number.
    """

    classes: NDArray[np.uint8]
    labels: tuple[str, ...]
    probability: NDArray[np.float32] | None = None

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

    Decoders: `probability` (setting `threshold`, 0.5) and `logits` (the class of the largest value).
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
            threshold = _threshold(contract)
            probability = warp_plane(scores[..., 0], matrix, frame.image_hw)
            labels = contract.labels if len(contract.labels) != 1 else ("background", *contract.labels)
            return Segmentation((probability > threshold).astype(np.uint8), labels, probability)
        if decoder == "logits":
            return Segmentation(_largest(scores, matrix, frame.image_hw), contract.labels)
        raise ContractError(f"segmentation has no decoder {decoder!r}; it has probability and logits")

    def compare(self, result: Segmentation, reference: Segmentation) -> float:
        """Return the mean over the classes present in either map of intersection over union."""
        return mean_iou(result.classes, reference.classes)

    def draw(self, image: Image, result: Segmentation) -> Image:
        """Return the picture with every class tinted in its colour and edged in a darker one."""
        if result.probability is not None:
            edge = np.clip((result.probability - 0.25) * 2, 0.0, 1.0)  # a soft step from 0.25 to 0.75
            return blend(image, _FOREGROUND, _STRENGTH * edge)
        colours = palette(int(result.classes.max()) + 1)[result.classes]
        tinted = blend(image, colours, _STRENGTH * (result.classes > 0))
        return blend(tinted, np.array([255, 255, 255]), 0.8 * _borders(result.classes))


def class_probability(outputs: Tensors, contract: Contract) -> NDArray[np.float32]:
    """Return the softmax over classes of the logits at the tensor's own resolution, (H, W, C)."""
    logits = planes(outputs, contract, contract.outputs[0].name)
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.asarray(powers / powers.sum(axis=2, keepdims=True), np.float32)


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
    return invert(frame.matrix) * scale


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


def _threshold(contract: Contract) -> float:
    value = contract.postprocess.settings.get("threshold", 0.5) if contract.postprocess else 0.5
    if isinstance(value, (int, float)):
        return float(value)
    raise ContractError(f"postprocess.settings.threshold is {value!r}; it must be a number")


def _borders(classes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return 0…1 by how much of a pixel's 3 × 3 neighbourhood lies across a class border: a smooth line."""
    padded = np.pad(classes, 1, mode="edge")
    differs = np.zeros(classes.shape, np.float32)
    height, width = classes.shape
    for dy in range(3):
        for dx in range(3):
            differs += padded[dy : dy + height, dx : dx + width] != classes
    return np.asarray(np.clip(differs / 4, 0.0, 1.0), np.float32)
