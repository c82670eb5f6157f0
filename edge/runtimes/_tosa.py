"""What a `.pte` computes, written out: its delegates as TOSA graphs, the operators around them as PyTorch's.

reference/schedule.json    the calls in order
reference/constants.npz    the tensors that operators outside the delegates read
reference/0.tosa …         one TOSA graph a delegate
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError, MissingError, TargetError

FOLDER = "reference"
SCHEDULE = f"{FOLDER}/schedule.json"
CONSTANTS = f"{FOLDER}/constants.npz"
GETITEM = "getitem"


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Call an operator of torch, as in "aten.add.Tensor", or a `.tosa` file.

    Arguments are JSON; {"value": NAME} stands for an input or a result, {"constant": NAME} for a tensor of the archive
    and {"dtype": NAME} for a dtype of torch.
    """

    name: str  # of its result
    op: str
    args: list[Any]
    kwargs: dict[str, Any] = {}


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the calls that a program makes; `obstacle` says why they could not all be written down."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    calls: tuple[Call, ...]
    obstacle: str = ""


def read_schedule(root: Path) -> Schedule:
    """Read an artifact's schedule; raises InputError if it is missing or damaged."""
    path = root / SCHEDULE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Schedule)
    except OSError as error:
        reason = error.strerror or str(error)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        reason = str(error)
    raise InputError(f"{path} cannot be read: {reason}; deploy it again with `edge deploy`")


class Player:
    """Plays a schedule: TOSA graphs on Arm's reference model, other operators in PyTorch."""

    def __init__(self, root: Path, schedule: Schedule) -> None:
        self._schedule = schedule
        self._graphs = {
            call.op: (root / FOLDER / call.op).read_bytes() for call in schedule.calls if call.op.endswith(".tosa")
        }
        self._constants = _read_constants(root / CONSTANTS)
        self._model: Any = reference_model() if self._graphs else None
        _register_operators(schedule)

    def play(self, inputs: tuple[NDArray[Any], ...]) -> list[NDArray[Any]]:
        """Return the outputs for inputs in the schedule's order; raises TargetError if a call fails."""
        import torch

        values: dict[str, Any] = {
            name: torch.from_numpy(np.ascontiguousarray(array))
            for name, array in zip(self._schedule.inputs, inputs, strict=True)
        }
        with torch.no_grad():
            for call in self._schedule.calls:
                args = [self._decode(arg, values) for arg in call.args]
                kwargs = {name: self._decode(arg, values) for name, arg in call.kwargs.items()}
                values[call.name] = self._call(call, args, kwargs)
        return [values[name].numpy() for name in self._schedule.outputs]

    def _call(self, call: Call, args: list[Any], kwargs: Mapping[str, Any]) -> Any:
        if call.op == GETITEM:
            return args[0][args[1]]
        if call.op in self._graphs:
            return self._run_graph(call.op, args)
        try:
            return _operator(call.op)(*args, **kwargs)
        except Exception as error:  # whatever the operator raises
            first = str(error).strip().split("\n", 1)[0]
            raise TargetError(f"{call.op} ({call.name}) cannot be computed: {first}") from error

    def _run_graph(self, name: str, tensors: list[Any]) -> list[Any]:
        import torch

        arrays = [np.ascontiguousarray(tensor.numpy()) for tensor in tensors]
        try:
            outputs, status = self._model.run(self._graphs[name], arrays, verbosity="NONE")
        except Exception as error:  # the native module raises RuntimeError and its own
            raise TargetError(f"TOSA's reference model cannot run {name}: {error}") from error
        if status != self._model.GraphStatus.TOSA_VALID:
            raise TargetError(f"TOSA's reference model cannot run {name}: {status}")
        return [torch.from_numpy(np.ascontiguousarray(array)) for array in outputs]

    def _decode(self, arg: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(arg, list):
            return [self._decode(item, values) for item in arg]
        if not isinstance(arg, dict):
            return arg
        [(kind, name)] = arg.items()
        if kind == "value":
            return values[name]
        if kind == "constant":
            return self._constants[name]
        if kind == "float":
            return float(name)
        import torch

        return getattr(torch, name)


def reference_model() -> Any:
    """Return TOSA's reference model; raises MissingError without it."""
    try:
        import tosa_reference_model
    except ImportError as error:
        raise MissingError(
            f"Arm's TOSA reference model cannot be imported ({error}): edge sdk install ethos-u"
        ) from error
    return tosa_reference_model


def _read_constants(path: Path) -> dict[str, Any]:
    import torch

    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def _register_operators(schedule: Schedule) -> None:
    """Import what defines the operators outside of PyTorch's own set."""
    spaces = {call.op.split(".", 1)[0] for call in schedule.calls}
    if "quantized_decomposed" in spaces:
        import torch.ao.quantization.fx._decomposed  # noqa: F401
    if "dim_order_ops" in spaces:
        import executorch.exir.passes.dim_order_ops_registry  # noqa: F401


def _operator(name: str) -> Any:
    import torch

    space, operator, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, space), operator), overload)
