"""Short, unique, readable names for submodules and nodes out of the converter's long tensor names."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

# Layers' inner operations, which the converter appends to the layer's own name.
_INNER = re.compile(
    r"/(Conv2D|depthwise|Kernel|Bias|BiasAdd|MatMul|ReadVariableOp|resource|Relu6?|Sigmoid|add|Pad|MaxPool|AvgPool"
    r"|FusedBatchNormV3|ResizeBilinear|resize|Reshape|concat|mul|weights?|biases|Const)\d*$"
)
_COUNTER = re.compile(r"(_dequantize|_quantize|_densify)\d*$")


def layer_name(tensor: str, *, prefer: str = "") -> str:
    """Return the layer's part of a tensor name such as `model/conv2d_1/Conv2D_dequantize2`.

    Fused tensors carry several names joined by `;`: the first one that holds `prefer` is taken, else the last.
    """
    parts = [_COUNTER.sub("", part.strip()) for part in tensor.split(";") if part.strip()] or ["value"]
    name = next((part for part in parts if prefer and prefer in part), parts[-1])
    while (shorter := _INNER.sub("", name)) != name and shorter.strip("/"):
        name = shorter
    return name


def identifier(name: str) -> str:
    """Return `name` as a Python identifier that is neither a keyword nor private."""
    clean = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[-80:].strip("_")
    if not clean or clean[0].isdigit():
        clean = f"layer_{clean}".strip("_")
    return f"{clean}_" if keyword.iskeyword(clean) or clean in _TAKEN else clean


def common_scope(names: Iterable[str]) -> str:
    """Return the longest scope, ending in `/`, under which all names lie."""
    scopes = [name.split("/")[:-1] for name in names]
    shared: list[str] = []
    for level in zip(*scopes, strict=False):
        if len(set(level)) != 1:
            break
        shared.append(level[0])
    return "/".join(shared) + "/" if shared else ""


_TAKEN = frozenset({"training", "forward", "code", "graph", "type", "float", "half", "double", "train", "eval", "to"})


class Names:
    """Hand out identifiers, each once."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def free(self, name: str) -> str:
        """Return `name` as an identifier, with a number if it is taken."""
        base = identifier(name)
        found, number = base, 1
        while found in self._used:
            found, number = f"{base}_{number}", number + 1
        self._used.add(found)
        return found
