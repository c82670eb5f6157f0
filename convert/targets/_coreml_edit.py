"""Write what quantization decided into coremltools' program: pairs of operations, integer weights, corrected biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from torch import Tensor

from convert.targets._coreml_plan import WEIGHTED, Pair
from convert.targets._coreml_ranges import Codes


def insert_pairs(program: Any, pairs: Sequence[Pair], codes: Mapping[str, Codes]) -> None:
    """Put `quantize` and `dequantize` between each value and the readers of its pair."""
    from coremltools.converters.mil import Builder as mb

    block = program.functions["main"]
    operations = _operations(block)
    order = {name: index for index, name in enumerate(operations)}
    variables = {item.name: item for item in block.inputs.values()}
    variables |= {item.name: item for operation in block.operations for item in operation.outputs}
    for pair in pairs:
        value, chosen = variables[pair.value], codes[pair.value]
        names = sorted((reader.name for reader in pair.readers), key=order.__getitem__)
        scale, zero_point = _scale(value, chosen), np.int8(chosen.zero_point)
        with block, no_origin():
            quantized = mb.quantize(
                input=value, scale=scale, zero_point=zero_point, output_dtype="int8", before_op=operations[names[0]]
            )
            rounded = mb.dequantize(input=quantized, scale=scale, zero_point=zero_point, before_op=operations[names[0]])
        for name in names:
            exchange(operations[name], value, rounded)


def _operations(block: Any) -> dict[str, Any]:
    """Return the operations that compute something, in order, by the names that they are saved under."""
    return {_name(operation): operation for operation in block.operations if operation.outputs}


def _name(operation: Any) -> str:
    return str(operation.outputs[0].name)


def no_origin() -> Any:
    """Say that what is built inside comes from no line of the model: coremltools asks where every operation is from."""
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource

    sources = (ScopeSource.EXIR_STACK_TRACE, ScopeSource.EXIR_DEBUG_HANDLE)
    return mb.scope(*(ScopeInfo(source=source, data=[None]) for source in sources))


def _scale(value: Any, codes: Codes) -> Any:
    from coremltools.converters.mil.mil import types

    return types.nptype_from_builtin(value.dtype)(codes.scale)


def exchange(operation: Any, old: Any, new: Any) -> None:
    changed = {}
    for key, given in operation.inputs.items():
        if isinstance(given, (list, tuple)):
            if any(item is old for item in given):
                changed[key] = tuple(new if item is old else item for item in given)
        elif given is old:
            changed[key] = new
    operation.set_inputs(no_check_var_types=True, **changed)


def compress_weights(program: Any, chosen: Set[str]) -> int:
    """Store the weights of the chosen operations as int8 with a scale per output channel; returns how many."""
    from coremltools.converters.mil import Builder as mb

    block, count = program.functions["main"], 0
    for operation in list(block.operations):
        if _name(operation) not in chosen or operation.op_type not in WEIGHTED:
            continue
        weight = operation.inputs["weight"]
        if weight.op.op_type != "const":
            continue  # two operations share it, and it is compressed already
        axis = 1 if operation.op_type == "conv_transpose" else 0
        data, scale = quantize_channels(weight.val, axis)
        with block, no_origin():
            compressed = mb.constexpr_affine_dequantize(
                quantized_data=data, scale=scale, zero_point=np.zeros_like(scale, np.int8), axis=np.int32(axis),
                before_op=weight.op, name=f"{weight.op.name}_quantized",
            )  # fmt: skip
        for reader in list(weight.child_ops):
            if _name(reader) in chosen:
                exchange(reader, weight, compressed)
        if not weight.child_ops:
            block.remove_ops([weight.op])
        count += 1
    return count


def quantize_channels(weight: Any, axis: int) -> tuple[Any, Any]:
    """Return int8 codes and one scale per channel of `axis`: symmetric, the largest magnitude being 127."""
    wide = weight.astype(np.float32)
    others = tuple(index for index in range(wide.ndim) if index != axis)
    scale = np.maximum(np.abs(wide).max(axis=others) / 127, 2.0**-24).astype(weight.dtype)
    shape = [-1 if index == axis else 1 for index in range(wide.ndim)]
    codes = np.clip(np.rint(wide / scale.astype(np.float32).reshape(shape)), -127, 127)
    return codes.astype(np.int8), scale


def biases(program: Any, names: Set[str]) -> dict[str, Any]:
    """Return the constants that are the bias of one of the named operations and of nothing else, by operation."""
    found = {}
    for name, operation in _operations(program.functions["main"]).items():
        bias = operation.inputs.get("bias") if name in names else None
        if bias is not None and bias.op is not None and bias.op.op_type == "const" and len(bias.child_ops) == 1:
            found[name] = bias
    return found


def shift_biases(program: Any, shifts: Mapping[str, Tensor]) -> None:
    """Add to the biases of the named operations."""
    from coremltools.converters.mil import Builder as mb

    block = program.functions["main"]
    operations = _operations(block)
    for name, bias in biases(program, shifts.keys()).items():
        value = (bias.val.astype(np.float32) + shifts[name].numpy()).astype(bias.val.dtype)
        with block, no_origin():
            replaced = mb.const(val=value, before_op=bias.op, name=f"{bias.op.name}_corrected")
        exchange(operations[name], bias, replaced)
        block.remove_ops([bias.op])
