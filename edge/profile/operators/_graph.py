"""The operators of a file beside the events of a profiler: which event is which operator, and of which source.

A runtime fuses, splits and adds operators, so nothing is paired by position alone. Those that multiply are paired in
order, if there are as many and each pair is of one kind; the others of a kind likewise. What does not agree is left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edge.delegation import Operator
from edge.profile.operators._sources import paired

Multiplies = Literal["", "convolution", "depthwise", "grouped", "linear", "transposed", "product"]

_ACCEPTS: dict[str, tuple[str, ...]] = {
    "convolution": ("convolution", "fullyconnected"),  # of 1×1: a matrix product
    "depthwise": ("depthwise", "convolution"),
    "grouped": ("convolution", "depthwise"),
    "linear": ("fullyconnected", "batchmatrixmultiply"),
    "transposed": ("deconvolution",),
    "product": ("batchmatrixmultiply", "fullyconnected"),
}
_MULTIPLYING = frozenset(("convolution", "depthwise", "fullyconnected", "deconvolution", "batchmatrixmultiply"))
_ALIASES = {
    "globalavgpooling": "mean", "globalaveragepooling": "mean", "reducemean": "mean", "meansquare": "mean",
    "avgpooling": "averagepooling", "averagepool": "averagepooling", "maxpool": "maxpooling", "div": "divide",
    "mul": "multiply", "sub": "subtract", "mean": "mean", "hardswish": "hardswish", "logistic": "sigmoid",
    "pad": "constantpad", "padv": "constantpad", "argmaxpooling": "argmaxpooling", "relun": "clamp", "relu": "clamp",
    "softmax": "softmax", "elementwiseadd": "add", "resizebilineard": "resizebilinear",
    "concatenatend": "concatenate", "transposend": "transpose",
}  # fmt: skip
_HEAD = re.compile(r"^(?:Static |Dynamic )?([A-Za-z][A-Za-z ]*?)\s*(?:\(|#|$)")
_DTYPE = re.compile(r"\((?:[A-Z]+, )?([A-Z0-9]+)")
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_ELEMENTWISE = frozenset(("add", "subtract", "multiply", "divide", "maximum", "minimum", "clamp"))
_MOVES = frozenset(("transpose", "constantpad", "concatenate", "depthtospace", "spacetodepth", "slice", "copy"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An operator of a file: `kind` as the profiler would call it, or how it multiplies."""

    kind: str
    multiplies: Multiplies = ""
    macs: int | None = 0
    elements: int = 0  # of the result
    bytes: int | None = None
    dtype: str = ""
    source: str = ""

    @property
    def flops(self) -> int | None:
        """Return its operations; None where they depend on how it is computed, as for a sigmoid."""
        if self.multiplies:
            return None if self.macs is None else 2 * self.macs
        if kind_of(self.kind) in _MOVES:
            return 0
        return self.elements if kind_of(self.kind) in _ELEMENTWISE else None


def kind_of(event: str) -> str:
    """Return what XNNPACK's event is, as one word: "Convolution (NHWC, F32) DWConv #3" is depthwise."""
    match = _HEAD.match(event)
    word = re.sub(r"[^a-z]", "", (match.group(1) if match else event).lower())
    if word == "convolution" and "DWConv" in event:
        return "depthwise"
    return _ALIASES.get(word, word)


def dtype_of(event: str) -> str:
    """Return the dtype that an event of XNNPACK computes in, or an empty string: QS8, QC8 and QD8 are 8-bit."""
    match = _DTYPE.search(event)
    code = match.group(1) if match else ""
    return _DTYPES.get(code, "int8" if re.match(r"Q[A-Z]+8", code) else "")


def align(events: Sequence[str], nodes: Sequence[Node]) -> tuple[Node | None, ...]:
    """Return the file's operator of every event of XNNPACK, or None."""
    kinds = [kind_of(event) for event in events]
    found: list[Node | None] = [None] * len(events)
    places = [index for index, kind in enumerate(kinds) if kind in _MULTIPLYING]
    multiplying = [node for node in nodes if node.multiplies]
    if len(places) == len(multiplying) and all(
        kinds[place] in _ACCEPTS[node.multiplies] for place, node in zip(places, multiplying, strict=True)
    ):
        for place, node in zip(places, multiplying, strict=True):
            found[place] = node
    others = [(kind_of(node.kind), node) for node in nodes if not node.multiplies]
    for wanted in {kind for kind, _ in others}:
        places = [index for index, kind in enumerate(kinds) if kind == wanted]
        same = [node for kind, node in others if kind == wanted]
        if len(places) == len(same):
            for place, node in zip(places, same, strict=True):
                found[place] = node
    return tuple(found)


def with_sources(nodes: Sequence[Node], delegated: Sequence[Operator]) -> tuple[Node, ...]:
    """Return the nodes with the exported program's operators as sources, where the multiply-accumulates agree.

    Over the whole program (`paired`); all of a kind that does not multiply, if there are as many of its operators.
    """
    sources: dict[int, str] = {}
    places = [index for index, node in enumerate(nodes) if node.multiplies]
    multiplying = [operator for operator in delegated if operator.macs]
    pairs = paired([nodes[place].macs for place in places], [operator.macs for operator in multiplying])
    sources |= {place: multiplying[pair].name for place, pair in zip(places, pairs, strict=True) if pair is not None}
    others = [(_exported_kind(operator.op), operator.name) for operator in delegated if not operator.macs]
    for wanted in {kind for kind, _ in others}:
        places = [index for index, node in enumerate(nodes) if not node.multiplies and kind_of(node.kind) == wanted]
        names = [name for kind, name in others if kind == wanted]
        if len(places) == len(names):
            sources |= dict(zip(places, names, strict=True))
    return tuple(replace(node, source=sources.get(index, "")) for index, node in enumerate(nodes))


def _exported_kind(op: str) -> str:
    """Return "add" for aten.add.Tensor; the kinds whose names the file's operators share."""
    word = op.removeprefix("aten.").split(".", 1)[0].strip("_")
    word = {"upsample_bilinear2d": "resizebilinear", "cat": "concatenate", "permute": "transpose"}.get(word, word)
    word = re.sub(r"[^a-z]", "", word)
    return _ALIASES.get(word, word)
