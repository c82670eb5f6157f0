"""Ternary weights for the kit's own operators in ONNX Runtime: packed bytes, multiplied as they are.

The operators are described at the top of quant/kernels/onnxruntime/operators.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convert.targets._onnx_ternary_forms import Coded, Weight, attribute, plain_products
from edge.runtimes.onnx_ternary import DOMAIN
from quant.ternary import TernaryTensor, pack

_DEFAULTS = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
_MOST_COLUMNS = 1 << 24  # of which the kernels' sums fit into int32


def packed_linear(weight: Weight) -> Coded | None:
    """Return the packed bytes of a plain product's weight for TernaryLinear; activations get int8 codes a row."""
    fits = weight.tensor.codes.ndim == 2 and plain_products(weight)
    return _packed(weight, "TernaryLinear_t5", {}) if fits else None


def packed_conv(weight: Weight) -> Coded | None:
    """Return those of an ungrouped convolution for TernaryConv2d; activations get int8 codes an image."""
    fits = weight.tensor.codes.ndim == 4 and all(_is_plain_convolution(node) for node in weight.readers)
    return _packed(weight, "TernaryConv2d_t5", _DEFAULTS) if fits else None


def _packed(weight: Weight, form: str, defaults: Mapping[str, Sequence[int]]) -> Coded | None:
    from onnx import helper, numpy_helper

    if not isinstance(weight.tensor, TernaryTensor) or weight.tensor.columns >= _MOST_COLUMNS:
        return None
    packed = np.frombuffer(pack(weight.tensor, "t5"), np.uint8)
    constant = numpy_helper.from_array(packed, f"{weight.name}_packed")

    def node(old: Any) -> Any:
        inputs = [old.input[0], constant.name, *(name for name in old.input[2:3] if name)]
        facts = {name: attribute(old, name, default) for name, default in defaults.items()}
        kind = form.partition("_")[0]
        return helper.make_node(kind, inputs, list(old.output), name=old.name, domain=DOMAIN, **facts)

    return Coded(form, (constant,), domain=DOMAIN, node=node)


def _is_plain_convolution(node: Any) -> bool:
    padded = attribute(node, "auto_pad", b"NOTSET") in (b"", b"NOTSET")
    return bool(node.op_type == "Conv" and attribute(node, "group", 1) == 1 and padded)
