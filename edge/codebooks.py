"""Code vectors that decoding looks tokens up in: part of the weights, in a file beside the model.

A contract names its codebook by the SHA-256 of the file (postprocess.settings.codebook), the same that the manifest
lists for it. The file is little-endian float32 (codes, depth) without a header, so that an app needs no reader for it.
Whoever reads an artifact says where its codebook is; what stands there is read once and checked against the name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge.contract import Contract, Postprocess
from edge.errors import ContractError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CODEBOOK = "codebook.f32"
_SETTING = "codebook"
_read: dict[str, bytes] = {}  # by SHA-256: the name says what the value is
_places: dict[str, Path] = {}


def with_codebook(contract: Contract, vectors: NDArray[Any]) -> Contract:
    """Return the contract with its decoder bound to code vectors (codes, depth).

    Raises ContractError for a contract without a decoder, or vectors that are not two-dimensional and finite.
    """
    import numpy as np

    rule = contract.postprocess
    if rule is None:
        raise ContractError("a codebook needs a decoder that reads it; set postprocess first")
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        raise ContractError(f"a codebook is (codes, depth) of finite numbers, not {list(vectors.shape)}")
    data = np.ascontiguousarray(vectors, "<f4").tobytes()
    digest = hashlib.sha256(data).hexdigest()
    _read[digest] = data
    sizes: dict[str, float | int | str | list[float]] = {"codes": vectors.shape[0], "depth": vectors.shape[1]}
    settings = rule.settings | sizes | {_SETTING: digest}
    return msgspec.structs.replace(contract, postprocess=msgspec.structs.replace(rule, settings=settings))


def codebook_name(rule: Postprocess | None) -> str:
    """Return the SHA-256 of a decoder's codebook, or an empty string if it has none."""
    return str(rule.settings.get(_SETTING, "")) if rule else ""


def codebook_at(rule: Postprocess | None, folder: Path) -> None:
    """Note that a decoder's codebook, if it has one, is in a folder; nothing is read before it is asked for."""
    if name := codebook_name(rule):
        _places[name] = folder / CODEBOOK


def codebook_bytes(rule: Postprocess | None) -> bytes:
    """Return the file's content; raises ContractError if it is missing, or is not the one that the decoder names."""
    name = codebook_name(rule)
    if not name:
        raise ContractError("the contract names no codebook; load the model's weights, or deploy it with `edge deploy`")
    if name not in _read:
        place = _places.get(name)
        try:
            data = place.read_bytes() if place else b""
        except OSError:
            data = b""
        if hashlib.sha256(data).hexdigest() != name:
            where = f"{place} is missing or damaged" if place else "nothing that was read has it"
            raise ContractError(f"the codebook {name[:12]}… is needed, but {where}; deploy it again with `edge deploy`")
        _read[name] = data
    return _read[name]


def codebook(rule: Postprocess) -> NDArray[np.float32]:
    """Return the code vectors (codes, depth) that a decoder names; raises ContractError as `codebook_bytes`."""
    import numpy as np

    data, settings = codebook_bytes(rule), rule.settings
    codes, depth = (settings.get(key) for key in ("codes", "depth"))
    if not isinstance(codes, int) or not isinstance(depth, int) or codes * depth * 4 != len(data) or depth < 1:
        raise ContractError(f"a codebook of {len(data)} bytes does not hold {codes} × {depth} float32 numbers")
    return np.frombuffer(data, "<f4").reshape(codes, depth)
