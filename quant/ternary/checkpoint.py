"""Checkpoints with packed ternary weights: `.safetensors` in which those are bytes, and all others as ever.

The file's metadata lists the packed names under `edge.ternary`; each is a one-dimensional uint8 tensor that holds what
`pack` writes. Read back they are the float weights that they stand for, so that any model loads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quant.ternary.packing import Layout, PackedError, pack, unpack
from quant.ternary.tensor import NotTernary, TernaryTensor, ternary_of

if TYPE_CHECKING:
    from torch import Tensor

KEY = "edge.ternary"


def write_packed(path: Path, tensors: Mapping[str, Tensor], layout: Layout = "t5") -> dict[str, TernaryTensor]:
    """Write tensors as `.safetensors`, those that are ternary weights packed; return these by name.

    A float tensor of two and more dimensions is one if all its output channels, the first dimension, hold only -s, 0
    and s.
    """
    import torch
    from safetensors.torch import save_file

    found: dict[str, TernaryTensor] = {}
    written: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        ternary = _ternary(tensor)
        if ternary is None:
            written[name] = tensor.detach().cpu().contiguous().clone()
        else:
            found[name] = ternary
            written[name] = torch.from_numpy(np.frombuffer(pack(ternary, layout), np.uint8).copy())
    save_file(written, path, metadata={"format": "pt", KEY: json.dumps(sorted(found))})
    return found


def read_packed(path: Path) -> dict[str, Tensor]:
    """Read tensors of a `.safetensors` by name, packed ones as the float32 weights that they stand for.

    Raises PackedError for packed bytes that are damaged, and what safetensors raises for the rest of the file.
    """
    import torch
    from safetensors import safe_open

    tensors: dict[str, Tensor] = {}
    with safe_open(path, "pt") as stream:
        packed = _listed(stream.metadata() or {})
        for name in stream.keys():  # noqa: SIM118  # it is no mapping
            tensors[name] = stream.get_tensor(name)
    for name in packed:
        if name not in tensors or tensors[name].dtype != torch.uint8 or tensors[name].dim() != 1:
            raise PackedError(f"{name!r} is listed as packed, but the file holds no bytes of that name")
        try:
            tensors[name] = torch.from_numpy(unpack(tensors[name].numpy().tobytes()).dequantize())
        except PackedError as error:
            raise PackedError(f"{name!r}: {error}") from None
    return tensors


def _listed(metadata: Mapping[str, str]) -> list[str]:
    try:
        names = json.loads(metadata.get(KEY, "[]"))
    except json.JSONDecodeError as error:
        raise PackedError(f"the list of packed tensors cannot be read: {error}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise PackedError("the list of packed tensors is no list of names")
    return names


def _ternary(tensor: Tensor) -> TernaryTensor | None:
    if tensor.dim() < 2 or not tensor.is_floating_point():
        return None
    try:
        found = ternary_of(tensor.detach().float().cpu().numpy())
    except NotTernary:
        return None
    # One number a channel is ternary as well: small tables of other things, which gain nothing.
    return found if found.columns > 1 else None
