"""Maps between a picture and an input tensor, and overlap of boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract, Resize, TensorSpec
from edge.errors import ContractError, InputError
from edge.images import to_tensor, warp
from edge.tasks import Frame, Image, Region, Tensors

Points = NDArray[np.float64]  # (N, 2), x then y


def stretch_matrix(image_hw: tuple[int, int], tensor_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Map tensor pixels to the picture's, each axis scaled on its own."""
    return np.array([[image_hw[1] / tensor_hw[1], 0.0, 0.0], [0.0, image_hw[0] / tensor_hw[0], 0.0]])


def letterbox_matrix(image_hw: tuple[int, int], tensor_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Map tensor pixels to the picture's: the whole picture, centred, with equal scale on both axes."""
    scale = max(image_hw[0] / tensor_hw[0], image_hw[1] / tensor_hw[1])
    shift_x = (image_hw[1] - scale * tensor_hw[1]) / 2
    shift_y = (image_hw[0] - scale * tensor_hw[0]) / 2
    return np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]])


def corner_matrix(image_hw: tuple[int, int], tensor_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Map tensor pixels to the picture's: the whole picture at the upper left, with equal scale on both axes."""
    scale = max(image_hw[0] / tensor_hw[0], image_hw[1] / tensor_hw[1])
    return np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])


def region_matrix(region: Region, tensor_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Map tensor pixels to the picture's: the region's square fills the tensor."""
    height, width = tensor_hw
    cos, sin = math.cos(region.rotation), math.sin(region.rotation)
    sx, sy = region.side / width, region.side / height
    shift_x = region.centre_x - (cos * region.side - sin * region.side) / 2
    shift_y = region.centre_y - (sin * region.side + cos * region.side) / 2
    return np.array([[cos * sx, -sin * sy, shift_x], [sin * sx, cos * sy, shift_y]])


def invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (2, 3) matrix of the opposite map."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -linear @ matrix[:, 2:]], axis=1)


def transform(matrix: NDArray[np.float64], points: NDArray[Any]) -> Points:
    """Map points (…, 2) by a (2, 3) matrix."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float64)


_MATRICES = {"stretch": stretch_matrix, "letterbox": letterbox_matrix, "corner": corner_matrix}
_BORDERS: dict[Resize, int | None] = {"stretch": None, "letterbox": 0, "corner": 128}


def picture_hw(image: Image) -> tuple[int, int]:
    """Return a picture's height and width; raises InputError if it has no pixels or is not (H, W, 3)."""
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(
            f"a picture has the shape {list(image.shape)}; expected [height, width, 3] (RGB) with a pixel at least"
        )
    return image.shape[0], image.shape[1]


def prepare(image: Image, contract: Contract, region: Region | None = None) -> tuple[dict[str, NDArray[Any]], Frame]:
    """Resize the picture, or the region of it, into the contract's first input as its preprocessing says.

    Letterbox bars are black, what a picture in the corner leaves is grey; outside the picture a region shows its edge
    repeated, as in MediaPipe.
    Raises ContractError without preprocessing, InputError for a picture without pixels or of another shape.
    """
    rule = contract.preprocess
    if rule is None:
        raise ContractError(f"{contract.inputs[0].name}: a picture needs a contract with preprocess")
    image_hw = picture_hw(image)
    if region is not None:
        matrix, border = region_matrix(region, rule.size), None
    else:
        matrix, border = _MATRICES[rule.resize](image_hw, rule.size), _BORDERS[rule.resize]
    pixels = warp(image, matrix, rule.size, border=border)
    return {contract.inputs[0].name: to_tensor(pixels, contract)}, Frame(image_hw, rule.size, matrix, region)


def output(outputs: Tensors, contract: Contract, name: str) -> tuple[NDArray[np.float32], TensorSpec]:
    """Return one output by its contract name; raises ContractError naming the outputs there are."""
    for spec in contract.outputs:
        if spec.name == name:
            return np.asarray(outputs[name], np.float32), spec
    names = ", ".join(spec.name for spec in contract.outputs)
    raise ContractError(f"this task needs an output named {name!r}; the contract has {names or 'none'}")


def planes(outputs: Tensors, contract: Contract, name: str) -> NDArray[np.float32]:
    """Return an image-like output of batch 1 as (H, W, C), whatever its layout."""
    array, spec = output(outputs, contract, name)
    if not spec.layout:
        raise ContractError(f"{name}: shape {list(spec.shape)} needs a layout, NCHW or NHWC")
    return np.moveaxis(array[0], 0, 2) if spec.layout == "NCHW" else np.asarray(array[0])


def box_iou(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return intersection over union of one box (4,) with boxes (N, 4), all x0, y0, x1, y1; 0 for empty boxes."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None), axis=1)
    union = float(np.prod(np.clip(box[2:] - box[:2], 0.0, None))) + areas - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def sigmoid(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return 1 / (1 + e^−x), with x clipped to ±100."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values.astype(np.float64), -100.0, 100.0))))


def rounded(values: NDArray[Any], digits: int) -> Any:
    """Return an array as nested lists of floats rounded for JSON."""
    return np.round(values.astype(np.float64), digits).tolist()
