"""Keep zero padding channels-last between channels-last operators.

litert-torch turns convolution networks to NHWC, but does not know how to pad there: every padding outside a
convolution (TensorFlow's "SAME" at stride 2) is turned to NCHW and back, two to four transposes for one PAD.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch

if TYPE_CHECKING:
    from torch.fx import Node

_PAD = torch.ops.aten.constant_pad_nd.default


@contextlib.contextmanager
def channels_last_padding() -> Iterator[None]:
    """Teach litert-torch's layout pass to pad in NHWC for as long as the context lasts, unless it can by itself."""
    from litert_torch._convert.fx_passes.optimize_layout_transposes_pass import layout_rewrite

    rewriters = layout_rewrite.rewriters
    if _PAD in rewriters:
        yield
        return
    rewriters[_PAD] = _pad_last
    try:
        yield
    finally:
        del rewriters[_PAD]


def _pad_last(node: Node) -> None:
    """Permute the amounts, which count from the last axis: (W, H, C, N) → (C, W, H, N)."""
    source, amounts, *value = node.args
    numbers = [*cast("list[int]", amounts)]
    numbers += [0] * (8 - len(numbers))
    node.args = (source, [*numbers[4:6], *numbers[0:4], *numbers[6:8]], *value)
