"""Run a plan: torch's operators for the kernels, an interpreter for every delegate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from edge.errors import InputError, TargetError, Unexecutable
from edge.runtimes._pte.program import Payload, Plan

# ExecuTorch's numbers of element types are torch's own.
_TYPES = {
    0: torch.uint8, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.int64, 5: torch.float16, 6: torch.float32,
    7: torch.float64, 11: torch.bool,
}  # fmt: skip


class Delegate(Protocol):
    """An interpreter of one delegate's payload."""

    inputs: int  # how many tensors it takes

    def run(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the outputs in order; shapes are those of the payload."""
        ...


Loader = Callable[[str, Payload], Delegate]


class Executor:
    """A plan whose delegates are loaded and whose operators are found; runs any number of times."""

    def __init__(self, plan: Plan, load: Loader) -> None:
        """Find every operator; raises Unexecutable naming what is not known, InputError for a damaged plan."""
        self._plan = plan
        _check_instructions(plan)
        self._kernels = _find_kernels(plan)
        self._delegates = [load(plan.name, payload) for payload in plan.delegates]
        self._initial = [self._value(record) for record in plan.values]

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run once; raises TargetError if an operator fails or a result does not fit its declaration."""
        values = list(self._initial)
        for index, given in zip(self._plan.inputs, inputs, strict=True):
            values[index] = given
        with torch.no_grad():
            for instruction in self._plan.instructions:
                self._step(instruction, values)
        return [values[index] for index in self._plan.outputs]

    def _step(self, instruction: Any, values: list[Any]) -> None:
        kind = type(instruction).__name__
        if kind == "DelegateCall":
            self._call_delegate(instruction, values)
        elif kind == "KernelCall":
            self._call_kernel(instruction, values)
        elif kind == "MoveCall":
            values[instruction.move_to] = values[instruction.move_from]

    def _call_delegate(self, instruction: Any, values: list[Any]) -> None:
        """Arguments are the inputs and then the outputs; both are tensors of the plan."""
        delegate = self._delegates[instruction.delegate_index]
        given, taken = instruction.args[: delegate.inputs], instruction.args[delegate.inputs :]
        results = delegate.run([values[index] for index in given])
        if len(results) != len(taken):
            raise TargetError(f"{self._plan.name}: a delegate has {len(results)} results, declared are {len(taken)}")
        for index, result in zip(taken, results, strict=True):
            values[index] = self._fitted(f"a delegate's result {index}", self._plan.values[index], result)

    def _call_kernel(self, instruction: Any, values: list[Any]) -> None:
        name = self._plan.operators[instruction.op_index]
        operator = self._kernels[name]
        schema = operator._schema.arguments
        positional, keyword, results = [], {}, []
        for argument, index in zip(schema, instruction.args, strict=False):
            value = self._resolved(index, values)
            if argument.is_out:
                results.append(index)
                value = self._empty(self._plan.values[index])
                values[index] = value
                keyword[argument.name] = value
            elif argument.kwarg_only:
                keyword[argument.name] = value
            else:
                positional.append(value)
        try:
            operator(*positional, **keyword)
        except Exception as error:  # torch reports what does not fit in many ways
            first = str(error).strip().split("\n", 1)[0]
            raise TargetError(f"{self._plan.name}: {name} cannot be computed: {first}") from error
        for index in results:
            self._fitted(f"{name}'s result {index}", self._plan.values[index], values[index])

    def _resolved(self, index: int, values: list[Any]) -> Any:
        record = self._plan.values[index]
        kind = type(record).__name__
        if kind in ("TensorList", "OptionalTensorList"):
            return [None if item < 0 else values[item] for item in record.items]
        if kind == "IntList":
            return [values[item] for item in record.items]
        return values[index]

    def _value(self, record: Any) -> Any:
        """Return a value that no instruction computes: a constant or a number."""
        kind = type(record).__name__
        if kind == "Tensor":
            return self._constant(record) if record.data_buffer_idx and record.allocation_info is None else None
        fields = {"Int": "int_val", "Bool": "bool_val", "Double": "double_val", "String": "string_val"}
        if kind in fields:
            value = getattr(record, fields[kind])
            return float(value) if kind == "Double" else value
        return list(record.items) if kind in ("BoolList", "DoubleList") else None

    def _constant(self, record: Any) -> Tensor:
        if record.data_buffer_idx >= len(self._plan.constants):
            raise Unexecutable(self._plan.name, ["a constant is stored outside the file"])
        empty = self._empty(record)
        size = empty.numel() * empty.element_size()
        data = self._plan.constants[record.data_buffer_idx]
        if len(data) < size:
            raise InputError(f"{self._plan.name}: a constant of {size} bytes has {len(data)}")
        if size == 0:
            return empty
        flat = torch.frombuffer(bytearray(data[:size]), dtype=empty.dtype)
        return torch.as_strided(flat, empty.shape, empty.stride())

    def _empty(self, record: Any) -> Tensor:
        """Return storage for a declared tensor, with its order of dimensions in memory."""
        sizes, order = tuple(record.sizes), list(record.dim_order)
        dtype = _TYPES.get(int(record.scalar_type))
        if dtype is None:
            raise Unexecutable(self._plan.name, [f"element type {record.scalar_type}"])
        back = sorted(range(len(order)), key=order.__getitem__)
        return torch.empty([sizes[axis] for axis in order], dtype=dtype).permute(back)

    def _fitted(self, what: str, record: Any, result: Tensor) -> Tensor:
        declared = tuple(record.sizes)
        if result.numel() != torch.Size(declared).numel() or (result.ndim and tuple(result.shape) != declared):
            raise TargetError(
                f"{self._plan.name}: {what} has shape {list(result.shape)}, the program declares {list(declared)}"
            )
        return result.reshape(declared).to(_TYPES[int(record.scalar_type)])


def _check_instructions(plan: Plan) -> None:
    known = ("KernelCall", "DelegateCall", "MoveCall", "FreeCall")
    others = Counter(type(item).__name__ for item in plan.instructions if type(item).__name__ not in known)
    if others:
        raise Unexecutable(plan.name, [f"instruction {name} ({count}×)" for name, count in sorted(others.items())])


def _find_kernels(plan: Plan) -> dict[str, Any]:
    import executorch.exir  # noqa: F401  # registers dim_order_ops with torch

    found, missing = {}, []
    for name in plan.operators:
        try:
            found[name] = _operator(name)
        except (AttributeError, RuntimeError, ValueError):
            missing.append(f"operator {name}")
    if missing:
        raise Unexecutable(plan.name, sorted(missing))
    return found


def _operator(name: str) -> Any:
    """Return torch's operator of a qualified name, `aten::add.out`."""
    namespace, rest = name.split("::", 1)
    base, overload = rest.rsplit(".", 1)
    return getattr(getattr(getattr(torch.ops, namespace), base), overload)
