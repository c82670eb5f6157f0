"""Ternary weights in an ML program, written from trits and scales: no k-means and no observer sees them.

iOS 18 computes palettes with a scale per channel in one order only, the scale on the palette: an int8 palette
{-1, 0, 1, 0} for every channel, `constexpr_blockwise_shift_scale` on it, `constexpr_lut_to_dense` last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.targets._coreml_edit import exchange, no_origin
from convert.targets._coreml_plan import WEIGHTED
from edge.errors import TargetError
from quant.coded import Codes, codes_of
from quant.ternary import NotTernary, TernaryTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convert.program import Program

VECTOR = 5  # weights in a byte of `vector5`


@dataclass(frozen=True, slots=True)
class Place:
    """Say where in a program a constant is written, and how its weight lies in memory."""

    before: Any  # the operation that it comes before
    name: str
    axis: int  # of the output channels
    scale_type: Any  # numpy's float32 or float16

    def scales(self, tensor: Codes, more: int = 0) -> NDArray[Any]:
        """Return the scales, shaped to be broadcast along the channels, with `more` dimensions at the end."""
        return _along(tensor.scale, self.axis, tensor.codes.ndim, more).astype(self.scale_type)

    def codes(self, tensor: Codes) -> NDArray[np.int8]:
        """Return the codes as the program has the weight."""
        return np.moveaxis(tensor.codes, 0, self.axis)


Encode = Callable[[Any, Place], Any]


def lut2(tensor: TernaryTensor, place: Place) -> Any:
    """Write 2 bits a weight, and for every channel a palette of four int8 with a scale; return the dense weight."""
    from coremltools.converters.mil import Builder as mb

    palette = _palette(place, tensor, (-1, 0, 1, 0))
    codes = (place.codes(tensor) + 1).astype(_unsigned(2))
    return mb.constexpr_lut_to_dense(indices=codes, lut=palette, before_op=place.before, name=place.name)


def int4(tensor: Codes, place: Place) -> Any:
    """Write 4 bits a weight and a scale for every channel, without palettes; return the dense weight."""
    from coremltools.converters.mil.mil import types

    return _shifted(tensor, place, types.nptype_from_builtin(types.int4))


def int8(tensor: Codes, place: Place) -> Any:
    """Write 8 bits a weight and a scale for every channel; return the dense weight."""
    return _shifted(tensor, place, np.int8)


def _shifted(tensor: Codes, place: Place, kind: Any) -> Any:
    from coremltools.converters.mil import Builder as mb

    codes, scale = place.codes(tensor).astype(kind), place.scales(tensor)
    return mb.constexpr_blockwise_shift_scale(data=codes, scale=scale, before_op=place.before, name=place.name)


def sparse1(tensor: TernaryTensor, place: Place) -> Any:
    """Write 1 bit a weight and 1 more for the signs of those that are not 0; return the dense weight.

    Chosen for the precision `ternary-sparse` only: how the Neural Engine takes it is not measured. Raises NotTernary
    without any nonzero trit.
    """
    from coremltools.converters.mil import Builder as mb

    trits = place.codes(tensor)
    if not trits.any():
        raise NotTernary("all trits are 0; a sparse constant needs at least one that is not")
    bit = _unsigned(1)
    mask, values = mb.constexpr_lut_to_sparse(
        indices_mask=(trits != 0).astype(bit),
        indices_nonzero_data=(trits[trits != 0] > 0).astype(bit),
        lut=_palette(place, tensor, (-1, 1)),
        before_op=place.before,
    )
    return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=mask, before_op=place.before, name=place.name)


def vector5(tensor: TernaryTensor, place: Place) -> Any:
    """Write a byte for five weights side by side on the axis of inputs; return the dense weight.

    Not chosen by itself: its scales must be on the dense weight, an order that iOS 18 does not compute and that passes
    of coremltools, which leave `vector_axis` out when they change it, must not see. Raises NotTernary for inputs that
    are no multiple of 5.
    """
    from coremltools.converters.mil import Builder as mb

    axis = 1 - place.axis
    digits = np.moveaxis(place.codes(tensor), axis, -1) + 1
    if digits.shape[-1] % VECTOR:
        raise NotTernary(f"{digits.shape[-1]} inputs; a palette of vectors needs a multiple of {VECTOR}")
    powers = 3 ** np.arange(VECTOR)
    codes = (digits.reshape(*digits.shape[:-1], -1, VECTOR) * powers).sum(-1).astype(np.uint8)
    vectors = np.arange(256)[:, None] // powers % 3 - 1  # those from 243 on are used by no code
    dense = mb.constexpr_lut_to_dense(
        indices=np.ascontiguousarray(np.moveaxis(codes, -1, axis)),
        lut=vectors.astype(np.int8).reshape(*[1] * tensor.trits.ndim, 256, VECTOR),
        vector_axis=np.int32(axis),
        before_op=place.before,
    )
    scale = place.scales(tensor)
    return mb.constexpr_blockwise_shift_scale(data=dense, scale=scale, before_op=place.before, name=place.name)


def densest(tensor: Codes, float_bits: int) -> str:
    """Return the form with the fewest bits that every unit of iOS 18 computes; short channels have no use for lut2."""
    bits = _bits(tensor, float_bits)
    return min(bits, key=bits.__getitem__)


def _bits(tensor: Codes, float_bits: int) -> Mapping[str, int]:
    """Return the bits of a channel in each form that can hold it, its scale and palette counted."""
    found = {
        "lut2": 2 * tensor.columns + 4 * 8 + float_bits,
        "int4": 4 * tensor.columns + float_bits,
        "int8": 8 * tensor.columns + float_bits,
        "float": float_bits * tensor.columns,
    }
    too_few = {2: (), 4: ("lut2",), 8: ("lut2", "int4")}[tensor.bits]
    return {form: bits for form, bits in found.items() if form not in too_few}


_ENCODINGS: Mapping[str, Encode] = {"lut2": lut2, "int4": int4, "int8": int8, "sparse1": sparse1}


def _chosen(tensor: Codes, float_bits: int, *, sparse: bool) -> tuple[str, int]:
    """Return the form that a weight gets and the bits that it takes, scales and palettes counted."""
    form = densest(tensor, float_bits)
    bits = _bits(tensor, float_bits)[form] * len(tensor.codes)
    nonzero = int(np.count_nonzero(tensor.codes))
    sparse_bits = tensor.codes.size + nonzero + (2 * 8 + float_bits) * len(tensor.codes)
    if sparse and isinstance(tensor, TernaryTensor) and nonzero and sparse_bits < bits:
        return "sparse1", sparse_bits
    return form, bits


def scales_in_half(program: Program) -> bool:
    """Say whether float16 holds every scale of the ternary weights exactly; raises Refused without such weights."""
    from convert.ternary import ternary_layers

    with np.errstate(over="ignore"):
        return all(
            np.array_equal(layer.tensor.scale.astype(np.float16).astype(np.float32), layer.tensor.scale)
            for layer in ternary_layers(program)
        )


def encode_ternary(program: Any, *, sparse: bool = False) -> dict[str, str | int | float | bool]:
    """Write the ternary weights of coremltools' program in their densest forms, in place, and return what was done.

    With `sparse` a mask with signs is among these forms.

    Weights are recognised by value, as in convert.ternary. Raises TargetError if coremltools left none ternary.
    """
    counts: Counter[str] = Counter()
    bits = weights = 0
    for weight, axis in _weights(program):
        tensor = codes_of(weight.val, axis=axis)
        if tensor is None:
            counts["float"] += 1
            continue
        float_bits = 8 * weight.val.dtype.itemsize
        form, size = _chosen(tensor, float_bits, sparse=sparse)
        counts[form] += 1
        if isinstance(tensor, TernaryTensor):
            bits += size
            weights += tensor.trits.size
        if form in _ENCODINGS:
            replace_weight(program, weight, tensor, axis, _ENCODINGS[form])
    if not weights:
        raise TargetError("coremltools left no ternary weight in the program: it folded something else into all")
    return {**counts, "ternary_bits_per_weight": round(bits / weights, 3)}


def replace_weight(program: Any, weight: Any, tensor: Codes, axis: int, encode: Encode) -> None:
    """Write a constant weight in another form for all operations that read it as their weight."""
    block = program.functions["main"]
    place = Place(weight.op, f"{weight.op.name}_ternary", axis, weight.val.dtype.type)
    with block, no_origin():
        encoded = encode(tensor, place)
    for reader in list(weight.child_ops):
        if reader.op_type in WEIGHTED and reader.inputs["weight"] is weight and _axis(reader) == axis:
            exchange(reader, weight, encoded)
    if not weight.child_ops:
        block.remove_ops([weight.op])


def _weights(program: Any) -> list[tuple[Any, int]]:
    """Return the constant weights of layers, each once, with the axis of their output channels."""
    found = {
        (operation.inputs["weight"].name, _axis(operation)): operation.inputs["weight"]
        for operation in program.functions["main"].operations
        if operation.op_type in WEIGHTED
        and operation.inputs["weight"].op is not None
        and operation.inputs["weight"].op.op_type == "const"
    }
    return [(weight, axis) for (_, axis), weight in found.items()]


def _axis(operation: Any) -> int:
    return 1 if operation.op_type == "conv_transpose" else 0


def _palette(place: Place, tensor: TernaryTensor, values: tuple[int, ...]) -> Any:
    """Write a palette for every channel, (…, channels, …, values, 1), with the channel's scale on it."""
    from coremltools.converters.mil import Builder as mb

    scale = place.scales(tensor, more=2)
    palette = np.broadcast_to(np.array(values, np.int8)[:, None], (*scale.shape[:-2], len(values), 1))
    return mb.constexpr_blockwise_shift_scale(
        data=np.ascontiguousarray(palette), scale=scale, before_op=place.before, name=f"{place.name}_palette"
    )


def _along(scale: NDArray[np.float32], axis: int, dimensions: int, more: int) -> NDArray[np.float32]:
    return scale.reshape([-1 if index == axis else 1 for index in range(dimensions)] + [1] * more)


def _unsigned(bits: int) -> Any:
    """Return coremltools' numpy type of unsigned integers below a byte."""
    from coremltools.converters.mil.mil import types

    return types.nptype_from_builtin(types.string_to_builtin(f"uint{bits}"))
