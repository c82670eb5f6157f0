"""What an encoder gives → token ids: the nearest code vector, signs, or ids as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.codebooks import codebook
from edge.contract import Contract, Postprocess
from edge.errors import ContractError
from edge.tasks import Image, Tensors
from edge.tasks._geometry import planes

Ids = NDArray[np.int64]
_STRIP = 8  # a picture's height is so many times its strip's
_LEAST = 1e-12  # length of a direction


def read_ids(outputs: Tensors, contract: Contract) -> tuple[NDArray[Any], int]:
    """Return the ids (K,) of a contract's first output, and their number of bits.

    Raises ContractError for another decoder, outputs of other shapes, values that are not finite, ids beyond the codes.
    """
    rule = contract.postprocess
    if not contract.outputs or rule is None or rule.decoder not in _DECODERS:
        raise ContractError(f"tokenization needs an output and a decoder, one of {', '.join(_DECODERS)}")
    codes = rule.settings.get("codes")
    if not isinstance(codes, int) or not 2 <= codes <= 1 << 24:
        raise ContractError(f"the setting codes is {codes}; expected the number of codes, 2 to {1 << 24}")
    name = contract.outputs[0].name
    values = np.asarray(outputs[name])
    if not np.isfinite(values).all():
        bad = int(values.size - np.isfinite(values).sum())
        raise ContractError(f"{name}: {bad} of {values.size} values are NaN or infinite, which no code is near to")
    ids = _DECODERS[rule.decoder](values, contract, rule)
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < codes:
        raise ContractError(f"{name}: ids go from {ids.min()} to {ids.max()}; there are {codes} codes")
    bits = (codes - 1).bit_length()
    return ids.astype(np.uint16 if bits <= 16 else np.uint32), bits


def nearest_ids(latents: NDArray[Any], vectors: NDArray[Any], *, normalised: bool) -> Ids:
    """Return for each latent (K, depth) the index of the nearest vector (codes, depth), the first of equally near ones.

    `normalised` compares directions, as cosine similarity does. All in float64, so that sums in another order
    do not change an id.
    """
    z, book = latents.astype(np.float64), vectors.astype(np.float64)
    if normalised:
        z, book = _directions(z), _directions(book)
    # |z − e|² = |z|² − 2·z·e + |e|², and |z|² is the same for every e.
    distances = (book**2).sum(axis=1) - 2.0 * (z @ book.T)
    return np.asarray(distances.argmin(axis=1), np.int64)


def sign_ids(latents: NDArray[Any]) -> Ids:
    """Return ids (…) of latents (…, bits): bit i is set where latent i is above zero (arXiv:2310.05737)."""
    return np.asarray((latents > 0) @ (1 << np.arange(latents.shape[-1], dtype=np.int64)), np.int64)


def draw_ids(image: Image, ids: NDArray[Any], codes: int) -> Image:
    """Return the picture over a strip with a field for every id, coloured by the id's bits."""
    width, height = image.shape[1], max(1, image.shape[0] // _STRIP)
    spread = ids.astype(np.int64) * 0xFFFFFF // (codes - 1)
    colours = np.stack([spread >> shift & 0xFF for shift in (16, 8, 0)], axis=-1).astype(np.uint8)
    strip = colours[np.arange(width) * len(ids) // width]
    return np.concatenate([image, np.broadcast_to(strip, (height, width, 3))])


def _directions(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _LEAST))


def _nearest(values: NDArray[Any], contract: Contract, rule: Postprocess) -> Ids:
    vectors = codebook(rule)
    if values.ndim != 3 or values.shape[0] != 1 or values.shape[2] != vectors.shape[1]:
        raise ContractError(
            f"{contract.outputs[0].name}: latents are (1, tokens, {vectors.shape[1]}), not {list(values.shape)}"
        )
    return nearest_ids(values[0], vectors, normalised=bool(rule.settings.get("normalised", 0)))


def _signs(values: NDArray[Any], contract: Contract, rule: Postprocess) -> Ids:
    name = contract.outputs[0].name
    latents = planes({name: values}, contract, name)
    codes = rule.settings.get("codes")
    if 1 << latents.shape[2] != codes:
        raise ContractError(f"{name}: {latents.shape[2]} planes are as many bits of an id; {codes} codes have others")
    return sign_ids(latents).ravel()


def _as_they_are(values: NDArray[Any], contract: Contract, rule: Postprocess) -> Ids:
    ids: Ids = np.rint(values).astype(np.int64).ravel()
    if not np.array_equal(ids, values.ravel()):
        raise ContractError(f"{contract.outputs[0].name}: ids are whole numbers")
    return ids


_DECODERS: Mapping[str, Callable[[NDArray[Any], Contract, Postprocess], Ids]] = {
    "nearest": _nearest,
    "signs": _signs,
    "ids": _as_they_are,
}
