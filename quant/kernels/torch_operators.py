"""`edge::ternary_linear` and `edge::ternary_conv2d`: the kernels as operators of PyTorch.

Importing this module registers them, with the variants that write into a given tensor, which ExecuTorch calls.
torch.export carries each as one node. The packed bytes are a tensor, so that they travel in the exported program's
constants; the kernel that is made of them is kept for as long as that tensor lives and is not written to.
"""

from __future__ import annotations

import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.weak import WeakTensorKeyDictionary

from edge.errors import ContractError
from quant.kernels.kernel import TernaryKernel
from quant.ternary import Layout, TernaryTensor, pack


@dataclass(frozen=True, slots=True)
class _Prepared:
    kernel: TernaryKernel
    version: int  # of the bytes
    threads: int


_PREPARED: MutableMapping[torch.Tensor, _Prepared] = WeakTensorKeyDictionary()


@torch.library.custom_op("edge::ternary_linear", mutates_args=(), device_types="cpu")
def ternary_linear(
    values: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None, out_features: int
) -> torch.Tensor:
    """Return float32 (…, out_features) of float32 values (…, K), packed bytes (B,) and a bias (out_features).

    Each row of values becomes int8 with one scale. Raises ContractError for other dtypes and shapes, PackedError for
    damaged bytes, MissingError where the kernels are not built.
    """
    kernel = _kernel_of(packed)
    _check(values, kernel, out_features)
    added = None if bias is None else bias.detach().numpy()
    if values.numel() == 0:
        return values.new_empty((*values.shape[:-1], out_features))
    return torch.from_numpy(kernel.linear(values.detach().contiguous().numpy(), added))


@ternary_linear.register_fake
def _(values: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None, out_features: int) -> torch.Tensor:
    return values.new_empty((*values.shape[:-1], out_features))


@torch.library.custom_op("edge::ternary_conv2d", mutates_args=(), device_types="cpu")
def ternary_conv2d(
    values: torch.Tensor,
    packed: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> torch.Tensor:
    """Return float32 (N, out, H', W') of float32 images (N, in, H, W) and packed bytes of a weight of `shape`.

    `shape` is (out, in, height, width), `padding` top, left, bottom, right. Each image becomes int8 with one scale.
    Raises what `ternary_linear` raises.
    """
    kernel = _kernel_of(packed)
    if kernel.shape != tuple(shape):
        raise ContractError(f"a weight of shape {kernel.shape}; the operator says {tuple(shape)}")
    if values.dtype != torch.float32:
        raise ContractError(f"values are {values.dtype}; expected float32")
    added = None if bias is None else bias.detach().numpy()
    images = values.detach().contiguous().numpy()
    return torch.from_numpy(kernel.convolve(images, added, stride=stride, padding=padding, dilation=dilation))


@ternary_conv2d.register_fake
def _(
    values: torch.Tensor,
    packed: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> torch.Tensor:
    height, width = (
        (values.shape[2 + i] + padding[i] + padding[2 + i] - dilation[i] * (shape[2 + i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )
    return values.new_empty((values.shape[0], shape[0], height, width))


_OUT_VARIANTS: Any = torch.library.Library("edge", "FRAGMENT")  # type: ignore[no-untyped-call]


def _define_out(name: str) -> None:
    operator = getattr(torch.ops.edge, name).default
    schema = str(operator._schema).removeprefix(f"edge::{name}").removesuffix(") -> Tensor")
    _OUT_VARIANTS.define(f"{name}.out{schema}, *, Tensor(a!) out) -> Tensor(a!)")

    def write(*arguments: Any, out: torch.Tensor) -> torch.Tensor:
        result = operator(*arguments)
        return out.resize_(result.shape).copy_(result)

    _OUT_VARIANTS.impl(f"{name}.out", write, "CompositeExplicitAutograd")


for _name in ("ternary_linear", "ternary_conv2d"):
    _define_out(_name)


class PackedLinear(torch.nn.Module):
    """Apply a ternary weight (out, in) from its packed bytes; activations become int8, one scale a row."""

    packed: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, tensor: TernaryTensor, bias: torch.Tensor | None = None, *, layout: Layout = "t2") -> None:
        super().__init__()
        if tensor.trits.ndim != 2:
            raise ContractError(f"a weight of shape {tensor.shape} is no linear layer's; expected (out, in)")
        self.out_features, self.in_features = tensor.shape
        self.register_buffer("packed", packed_tensor(tensor, layout))
        self.register_buffer("bias", bias)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return float32 (…, out) of float32 values (…, in)."""
        result: torch.Tensor = torch.ops.edge.ternary_linear(values, self.packed, self.bias, self.out_features)
        return result


def packed_tensor(tensor: TernaryTensor, layout: Layout) -> torch.Tensor:
    """Return the packed bytes (B,) as the operators take them, uint8."""
    return torch.from_numpy(np.frombuffer(pack(tensor, layout), np.uint8).copy())


def _kernel_of(packed: torch.Tensor) -> TernaryKernel:
    version = 0 if packed.is_inference() else packed._version
    threads = min(torch.get_num_threads(), 256)
    found = _PREPARED.get(packed)
    if found is None or (found.version, found.threads) != (version, threads):
        if packed.dtype != torch.uint8 or packed.ndim != 1:
            raise ContractError(f"packed bytes are {packed.dtype} {tuple(packed.shape)}; expected uint8 (B,)")
        kernel = TernaryKernel(packed.detach().contiguous().numpy(), threads=threads)
        found = _PREPARED[packed] = _Prepared(kernel, version, threads)
    return found.kernel


def _check(values: torch.Tensor, kernel: TernaryKernel, out_features: int) -> None:
    if (found := (kernel.rows, kernel.columns)) != (out_features, math.prod(values.shape[-1:])):
        raise ContractError(f"values {tuple(values.shape)} to {out_features} features do not fit a weight {found}")
    if values.dtype != torch.float32:
        raise ContractError(f"values are {values.dtype}; expected float32")
