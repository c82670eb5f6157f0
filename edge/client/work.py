"""A call's input, prepared once for each contract, and encoded for the wire."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.client.policy import Policy, Upload
from edge.contract import Contract, image_contract, takes_image
from edge.errors import ContractError, InputError
from edge.serve.wire import Tensor
from edge.tasks import TASKS, Frame, Image, Prediction, Region

Arrays = dict[str, NDArray[Any]]
JSON_BYTES = 512  # of a request, about
_MOST_PIXELS = 25_000_000


class Work:
    """A picture (H, W, 3) of 8 bits, RGB, with the region that a landmark model wants, or named tensors.

    Thread-safe; raises InputError for anything else.
    """

    def __init__(self, given: Image | Mapping[str, NDArray[Any]], region: Region | None = None) -> None:
        self.region = region
        self._guard = threading.Lock()
        self._prepared: dict[int, tuple[Arrays, Frame | None]] = {}
        self._encoded: bytes | None = None
        self.image: Image | None = None
        self._tensors: Arrays = {}
        if isinstance(given, Mapping):
            self._tensors = {name: np.asarray(array) for name, array in given.items()}
            return
        if not isinstance(given, np.ndarray):
            raise InputError(f"a {type(given).__name__} is no input; give a picture's pixels or named tensors")
        if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or not 0 < given.size <= 3 * _MOST_PIXELS:
            raise InputError(
                f"a picture is {given.dtype} {list(given.shape)}; give uint8 (height, width, 3) in RGB, at most "
                f"{_MOST_PIXELS // 1_000_000} megapixels, or a mapping of named tensors"
            )
        self.image = given

    def inputs(self, contract: Contract) -> tuple[Arrays, Frame | None]:
        """Return the contract's inputs, and for a picture the frame that its results are decoded with.

        Raises ContractError for tensors that do not fit.
        """
        with self._guard:
            if id(contract) not in self._prepared:
                self._prepared[id(contract)] = self._prepare(contract)
            return self._prepared[id(contract)]

    def decode(self, outputs: Mapping[str, NDArray[Any]], contract: Contract) -> Prediction | None:
        """Return the task's result in the picture's coordinates; None for tensors."""
        if self.image is None:
            return None
        _, frame = self.inputs(contract)
        return None if frame is None else TASKS[contract.task].decode(outputs, contract, frame)

    def encoded(self, kind: Upload, quality: int) -> bytes:
        """Return the picture as a file, encoded once; raises InputError for tensors."""
        if self.image is None:
            raise InputError("named tensors cannot be encoded as a picture")
        with self._guard:
            if self._encoded is None:
                self._encoded = encode_picture(self.image, kind, quality)
            return self._encoded

    def travels(self, contract: Contract, policy: Policy) -> Upload:
        """Return in which form the input goes up."""
        return policy.upload if self.image is not None and takes_image(contract) else "tensors"

    def _prepare(self, contract: Contract) -> tuple[Arrays, Frame | None]:
        if self.image is not None:
            task = TASKS[contract.task]
            return task.prepare(self.image, image_contract(contract), self.region if task.needs_region else None)
        given = self._tensors
        for spec in contract.inputs:
            found = given.get(spec.name)
            if found is None or found.shape != spec.shape or found.dtype != np.dtype(spec.dtype):
                shown = "missing" if found is None else f"{found.dtype} {list(found.shape)}"
                raise ContractError(f"input {spec.name} is {shown}; the model takes {spec.dtype} {list(spec.shape)}")
        if extra := sorted(given.keys() - {spec.name for spec in contract.inputs}):
            raise ContractError(f"the model has no input {extra[0]}; it has {[spec.name for spec in contract.inputs]}")
        return given, None


def tensor_bytes(contract: Contract) -> int:
    """Return the size of a request with the contract's inputs as tensors, about."""
    sizes = (int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize for spec in contract.inputs)
    return sum(sizes) + JSON_BYTES


def encode_picture(image: Image, kind: Upload, quality: int) -> bytes:
    """Return a picture as a JPEG, WebP or PNG file without any metadata."""
    from PIL import Image as PillowImage

    options: dict[str, Any] = {
        "jpeg": {"quality": quality},
        "webp": {"quality": quality, "method": 2},
        "png": {"compress_level": 1},
    }[kind]
    stream = io.BytesIO()
    PillowImage.fromarray(image).save(stream, kind.upper(), **options)
    return stream.getvalue()


def picture_tensor(name: str, encoded: bytes, region: Region | None) -> Tensor:
    """Return an encoded picture as a BYTES tensor, its region among the parameters."""
    tensor = Tensor.of_pictures(name, [encoded])
    if region is None:
        return tensor
    parameters = {
        "centre_x": float(region.centre_x),
        "centre_y": float(region.centre_y),
        "side": float(region.side),
        "rotation": float(region.rotation),
    }
    return Tensor(name, tensor.datatype, tensor.array, parameters)
