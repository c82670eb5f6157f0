"""Tokenizers: a picture into tokens, and the tokens back into the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.codes import pack_codes
from edge.contract import Contract
from edge.errors import ContractError
from edge.images import warp
from edge.tasks import Frame, Image, MeanOverPictures, Region, Tensors, task
from edge.tasks._geometry import planes, prepare
from edge.tasks._tokens import draw_ids, read_ids

_DECODER = "picture"
_SIGMA = 1.5  # pixels, of the window that SSIM weighs its neighbourhood with
_TRUNCATE = 3.5  # sigmas: a window of 11 × 11
_C1, _C2 = 0.01**2, 0.03**2  # for values in 0…1


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The token ids (K,) of a picture, each of `bits` bits: uint16, or uint32 where 16 bits do not do."""

    ids: NDArray[Any]
    bits: int

    @property
    def packed(self) -> bytes:
        """Return the ids as they travel, ceil(K · bits / 8) bytes."""
        return pack_codes(self.ids, self.bits)

    def to_json(self) -> dict[str, Any]:
        """Return the ids, and their packed bytes in hexadecimal."""
        packed = self.packed
        return {"tokens": len(self.ids), "bits": self.bits, "bytes": len(packed), "packed": packed.hex()} | {
            "codes": self.ids.tolist()
        }


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture (H, W, 3), RGB."""

    pixels: NDArray[np.uint8]

    def to_json(self) -> dict[str, Any]:
        """Return the picture's size and mean colour."""
        return {"size": list(self.pixels.shape[:2]), "mean": np.round(self.pixels.mean(axis=(0, 1)), 2).tolist()}


@task("tokenization")
class TokenizationTask(MeanOverPictures):
    """Turn a picture into token ids by what the contract's decoder makes of the first output.

    `nearest`: latents (1, K, depth), of which the nearest vector of the codebook is taken; with the setting
    `normalised`, by direction. `signs`: latents with `bits` planes, whose signs are a token's bits, the first plane the
    lowest. `ids`: ids that the model looked up itself. The setting `codes` is their number.
    """

    metric = "identical codes"
    limit = 0.98
    needs_region = False
    result = Codes

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Resize the picture into the contract's input; raises ContractError without preprocessing."""
        return prepare(image, contract, region)

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> Codes:
        """Return the ids, row by row where tokens lie in a grid; raises ContractError for outputs that are no such."""
        return Codes(*read_ids(outputs, contract))

    def compare(self, result: Codes, reference: Codes) -> float:
        """Return the share of ids that are the same, 0 for another number of them."""
        if result.ids.shape != reference.ids.shape or result.bits != reference.bits:
            return 0.0
        return float(np.mean(result.ids == reference.ids))

    def compare_all(self, pairs: Sequence[tuple[Codes, Codes]]) -> float:
        """Return the mean over the pictures of the share of ids that are the same."""
        return self.total(np.stack([self.measure(result, reference) for result, reference in pairs]))

    def draw(self, image: Image, result: Codes) -> Image:
        """Return the picture over a strip with a field for every token, whose colour is its id."""
        return draw_ids(image, result.ids, 1 << result.bits)


@task("detokenization")
class DetokenizationTask(MeanOverPictures):
    """Turn tokens into a picture; the decoder `picture` takes the first output's three planes of 0…1 as RGB.

    The setting `codes` is the size of the codebook: ids go from 0 to codes − 1.
    """

    metric = "SSIM"
    limit = 0.98
    needs_region = False
    result = Picture

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Raise ContractError for a contract without preprocessing: a decoder takes tokens, not pictures."""
        return prepare(image, contract, region)

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> Picture:
        """Round the planes to 8 bits; the frame is not looked at, for there was no picture before."""
        rule = contract.postprocess
        if not contract.outputs or rule is None or rule.decoder != _DECODER:
            raise ContractError(f"detokenization needs an output and the decoder {_DECODER}")
        values = planes(outputs, contract, contract.outputs[0].name)
        if values.shape[2] != 3:
            raise ContractError(f"{contract.outputs[0].name}: a picture has 3 planes, not {values.shape[2]}")
        return Picture(np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8))

    def compare(self, result: Picture, reference: Picture) -> float:
        """Return the mean structural similarity over pixels and channels."""
        return ssim(result.pixels, reference.pixels)

    def compare_all(self, pairs: Sequence[tuple[Picture, Picture]]) -> float:
        """Return the mean over the pictures of their structural similarity."""
        return self.total(np.stack([self.measure(result, reference) for result, reference in pairs]))

    def draw(self, image: Image, result: Picture) -> Image:
        """Return the decoded picture itself."""
        return result.pixels.copy()


def psnr(result: Image, reference: Image) -> float:
    """Return the peak signal-to-noise ratio in dB of two pictures of 8 bits, infinite for equal ones.

    Raises ContractError for sizes that differ.
    """
    if result.shape != reference.shape:
        raise ContractError(f"pictures of {list(result.shape)} and {list(reference.shape)} cannot be compared")
    error = float(np.mean((result.astype(np.float64) - reference) ** 2))
    return float("inf") if error == 0 else 10 * math.log10(255**2 / error)


def seen(image: Image, frame: Frame) -> Image:
    """Return the picture as an encoder sees it, (height, width, 3) of its input."""
    return warp(image, frame.matrix, frame.tensor_hw)


def ssim(result: Image, reference: Image) -> float:
    """Return the mean structural similarity of two pictures (H, W, 3), 1 for equal ones.

    Source: Wang et al., Image Quality Assessment (IEEE TIP 2004), with its Gaussian window of 11 × 11 and σ = 1.5;
    pixels whose window leaves the picture do not count. Raises ContractError for sizes that differ or are under 11.
    """
    from scipy.ndimage import gaussian_filter

    if result.shape != reference.shape or min(result.shape[:2]) < 11:
        raise ContractError(
            f"pictures of {list(result.shape)} and {list(reference.shape)} cannot be compared; "
            "they need one size of at least 11 × 11"
        )

    def blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(values, (_SIGMA, _SIGMA, 0), truncate=_TRUNCATE))

    x, y = result / 255.0, reference / 255.0
    mean_x, mean_y = blurred(x), blurred(y)
    spread_x, spread_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
    shared = blurred(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + _C1) * (2 * shared + _C2)
    whole = (mean_x**2 + mean_y**2 + _C1) * (spread_x + spread_y + _C2)
    return float((alike / whole)[5:-5, 5:-5].mean())
