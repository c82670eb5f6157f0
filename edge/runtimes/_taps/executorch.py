"""Every tensor of a `.pte`, computed by the real kernels: the file rewritten so that they all become outputs.

Tensors between portable operators share memory, so each gets a place of its own. Inside an XNNPACK delegate, whose
graph lies in the file as a flatbuffer, every value becomes an external output that the program receives. The handles
are those that the exporter gave to its nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edge.artifact import Artifact
from edge.errors import InputError, TargetError
from edge.runtimes import open_session
from edge.runtimes._taps import Arrays, Tap, Taps, disagreement
from edge.runtimes._taps._xnnpack import XNNPACK, InnerValue, expose

_SAME = 1e-3  # of the rms: operators that XNNPACK fuses if nobody looks between them
_ALIGNMENT = 64
_SCALARS = {"float32": "FLOAT", "float16": "HALF", "int8": "CHAR", "uint8": "BYTE"}
_VIEWS = ("executorch_prim::et_view",)


@dataclass(frozen=True, slots=True)
class _Label:
    name: str
    operator: int
    kind: str
    handle: int
    scale: float = 0.0
    zero: int = 0


def read_executorch(artifact: Artifact, inputs: Arrays) -> Taps:
    """Return every tensor that operators and XNNPACK's delegates compute; raises TargetError if the copy cannot run."""
    path = artifact.file(".pte")
    outputs = open_session(artifact).run(inputs)
    content, labels, kinds = _rewritten(path)
    results = _run(content, [inputs[spec.name] for spec in artifact.manifest.inputs])
    split = len(artifact.manifest.outputs)
    taps = tuple(
        Tap(label.name, label.operator, label.kind, _real(value, label), label.scale, label.handle)
        for label, value in zip(labels, results[split:], strict=True)
    )
    final = {spec.name: value for spec, value in zip(artifact.manifest.outputs, results[:split], strict=True)}
    notes = disagreement("the file without the extra outputs", outputs, final, _SAME)
    return Taps("native", taps, outputs, kinds, notes)


def _real(value: Any, label: _Label) -> Any:
    if not label.scale:
        return value
    return (value.astype(np.float32) - np.float32(label.zero)) * np.float32(label.scale)


def _rewritten(path: Path) -> tuple[bytes, list[_Label], tuple[str, ...]]:
    """Return a copy of the file whose method also returns every tensor, what those are, and the operators' kinds."""
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary

    try:
        file = deserialize_pte_binary(path.read_bytes())
        program = file.program
        [plan] = program.execution_plan
        [chain] = plan.chains
    except Exception as error:  # flatbuffers' readers trip over damaged bytes in many ways
        raise InputError(f"{path} is not a .pte file of one method: {type(error).__name__}: {error}") from None
    labels: list[_Label] = []
    kinds: list[str] = []
    known: set[int] = set()
    for instruction in (item.instr_args for item in chain.instructions):
        if type(instruction).__name__ == "KernelCall":
            _open_kernel(plan, instruction, labels, kinds, known)
        elif type(instruction).__name__ == "DelegateCall":
            delegate = plan.delegates[instruction.delegate_index]
            if delegate.id == XNNPACK:
                blob = program.backend_delegate_data[delegate.processed.index]
                opened = expose(bytes(blob.data))
                blob.data = opened.content
                _receive(plan, instruction, opened.values, labels, kinds)
                kinds += opened.kinds
            else:
                kinds.append(delegate.id)
    return bytes(serialize_pte_binary(file, extract_delegate_segments=True)), labels, tuple(kinds)


def _open_kernel(plan: Any, instruction: Any, labels: list[_Label], kinds: list[str], known: set[int]) -> None:
    """Return what a portable operator writes, from memory that no other tensor uses."""
    entry = plan.operators[instruction.op_index]
    kinds.append(f"{entry.name}.{entry.overload or 'default'}")
    # By the convention of ExecuTorch's kernels the last argument is the result again; views only rename memory.
    index = instruction.args[-1]
    record = plan.values[index].val
    if entry.name in _VIEWS or type(record).__name__ != "Tensor" or record.allocation_info is None or index in known:
        return
    known.add(index)
    if index not in plan.outputs:
        _place(plan, record)
    plan.outputs.append(index)
    labels.append(_Label(f"value {index}", len(kinds) - 1, kinds[-1], 0))


def _receive(
    plan: Any, instruction: Any, values: tuple[InnerValue, ...], labels: list[_Label], kinds: list[str]
) -> None:
    from executorch.exir.schema import EValue, ScalarType, Tensor, TensorShapeDynamism

    first = len(kinds)
    for value in values:
        record = Tensor(
            scalar_type=ScalarType[_SCALARS[value.dtype]],
            storage_offset=0, sizes=list(value.shape), dim_order=list(range(len(value.shape))), requires_grad=False,
            layout=0, data_buffer_idx=0, allocation_info=None, shape_dynamism=TensorShapeDynamism.STATIC,
        )  # fmt: skip
        _place(plan, record)
        plan.values.append(EValue(val=record))
        instruction.args.append(len(plan.values) - 1)
        plan.outputs.append(len(plan.values) - 1)
        position = first + value.operator
        labels.append(_Label(value.name, position, value.kind, value.handle, value.scale, value.zero))


def _place(plan: Any, record: Any) -> None:
    """Give a tensor the next free place of the method's memory."""
    from executorch.exir.schema import AllocationDetails

    sizes = plan.non_const_buffer_sizes
    if len(sizes) < 2:
        sizes.append(0)
    start = -(-int(sizes[1]) // _ALIGNMENT) * _ALIGNMENT
    record.allocation_info = AllocationDetails(
        memory_id=1, memory_offset_low=start & 0xFFFFFFFF, memory_offset_high=start >> 32
    )
    sizes[1] = start + max(8 * prod(record.sizes), _ALIGNMENT)


def _run(content: bytes, arguments: list[Any]) -> list[Any]:
    import torch

    from edge.runtimes.executorch import bindings, set_threads
    from edge.threads import thread_count

    set_threads(thread_count())
    native = bindings()
    try:
        program = native._load_program_from_buffer(
            content, enable_etdump=False, debug_buffer_size=0, program_verification=native.Verification.Minimal
        )
        method = program.load_method("forward")
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arguments]
        return [tensor.numpy().copy() for tensor in method.call(tensors, clone_outputs=True)]
    except RuntimeError as error:
        raise TargetError(f"ExecuTorch cannot run the file with every tensor as an output: {error}") from error
