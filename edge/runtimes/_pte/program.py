"""Reader of a `.pte`: its one method, the constants it uses and its delegates' payloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import InputError, MissingError, Unexecutable

_AGAIN = "deploy it again with `edge deploy`"


@dataclass(frozen=True, slots=True)
class Payload:
    """What a partitioner handed to one delegate: the backend's name, its bytes and the blobs they name."""

    backend: str
    data: bytes
    named: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """The method `forward`: ExecuTorch's own records of values and instructions, and the bytes they refer to."""

    name: str  # of the file, for errors
    values: tuple[Any, ...]  # records of executorch.exir.schema
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    instructions: tuple[Any, ...]
    operators: tuple[str, ...]  # "aten::add.out"
    delegates: tuple[Payload, ...]
    constants: tuple[bytes, ...]


def read_plan(path: Path) -> Plan:
    """Read a `.pte`; raises InputError for a damaged file, MissingError without the executorch package."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; {_AGAIN}") from None
    _check_structure(path, data)
    try:
        from executorch.exir._serialize._program import deserialize_pte_binary
    except ImportError as error:
        raise MissingError(
            f"executorch cannot be imported ({error}): pip install 'edge-deployment-kit[executorch]'"
        ) from error
    try:
        file = deserialize_pte_binary(data)
    except Exception as error:  # flatbuffers' readers trip over damaged bytes in many ways
        raise InputError(f"{path} is not a .pte file: {type(error).__name__}: {error}; {_AGAIN}") from None
    return _plan(path.name, file)


def _check_structure(path: Path, data: bytes) -> None:
    from edge.runtimes.executorch import bindings

    native = bindings()
    try:
        native._load_program_from_buffer(
            data, enable_etdump=False, debug_buffer_size=0,
            program_verification=native.Verification.InternalConsistency,
        )  # fmt: skip
    except RuntimeError as error:
        raise InputError(f"{path} is not a whole .pte file: {error}; {_AGAIN}") from None


def _plan(name: str, file: Any) -> Plan:
    program = file.program
    [plan] = program.execution_plan[:1] or [None]
    if plan is None or len(program.execution_plan) != 1 or len(plan.chains) != 1:
        raise Unexecutable(name, [f"it has {len(program.execution_plan)} methods, not one of one chain"])
    stored = file.named_data
    named = {key: stored.buffers[entry.buffer_index] for key, entry in stored.pte_data.items()} if stored else {}
    return Plan(
        name=name,
        values=tuple(value.val for value in plan.values),
        inputs=tuple(plan.inputs),
        outputs=tuple(plan.outputs),
        instructions=tuple(item.instr_args for item in plan.chains[0].instructions),
        operators=tuple(f"{item.name}.{item.overload or 'default'}" for item in plan.operators),
        delegates=tuple(
            Payload(item.id, bytes(program.backend_delegate_data[item.processed.index].data), named)
            for item in plan.delegates
        ),
        constants=tuple(bytes(buffer.storage) for buffer in program.constant_buffer),
    )
