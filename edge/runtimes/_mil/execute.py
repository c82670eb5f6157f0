"""Run a function operation by operation, each result checked against its declared type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from edge.errors import EdgeError, InputError, TargetError, Unexecutable
from edge.runtimes._mil import ops_compressed, ops_compute, ops_pointwise, ops_reduce, ops_resize, ops_shape
from edge.runtimes._mil.operators import OPERATORS, Operator, UnsupportedForm
from edge.runtimes._mil.program import Function, Operation, Reference
from edge.runtimes._mil.values import STORAGE, TensorType, Value, describe

# Importing them fills the table of operators.
OPERATOR_MODULES = (ops_compressed, ops_compute, ops_pointwise, ops_reduce, ops_resize, ops_shape)

Observer = Callable[[Operation, tuple[Tensor, ...]], None]
Visit = Callable[[Operation, list[tuple[Tensor, ...]]], None]


class Interpreter:
    """A function whose constants are decoded once and whose operations run in order."""

    def __init__(self, function: Function, name: str) -> None:
        """Fold constants; raises Unexecutable naming every unsupported operator, InputError for damaged constants."""
        self._name, self._function = name, function
        _check_supported(function, name)
        self._constants: dict[str, Value] = {}
        self._wide: dict[str, Tensor] = {}
        self._steps: list[Operation] = []
        for operation in function.operations:
            if operation.type == "const" or operation.type.startswith("constexpr_"):
                self._fold(operation)
            else:
                self._steps.append(operation)
        self._last_use = _last_uses(self._steps, function.outputs)

    def run(self, inputs: Mapping[str, Tensor], observe: Observer | None = None) -> dict[str, Tensor]:
        """Execute once; raises TargetError if a result is not what the program declares.

        `observe` is called after every operation with its results.
        """
        return self.walk([inputs], None if observe is None else lambda operation, found: observe(operation, found[0]))[
            0
        ]

    def walk(self, inputs: Sequence[Mapping[str, Tensor]], visit: Visit | None = None) -> list[dict[str, Tensor]]:
        """Execute every operation on all the inputs before the next; raises TargetError as `run` does.

        `visit` is called after every operation with its results for each of the inputs, and may write into them.
        """
        memories = [self._start(entry) for entry in inputs]
        with torch.no_grad():
            for position, operation in enumerate(self._steps):
                found = [self._apply(operation, values) for values in memories]
                if visit is not None:
                    visit(operation, found)
                for values, results in zip(memories, found, strict=True):
                    values.update(zip((item.name for item in operation.outputs), results, strict=True))
                    for name in self._last_use.get(position, ()):
                        values.pop(name, None)
        return [{name: self._tensor(name, values) for name in self._function.outputs} for values in memories]

    @property
    def numbers(self) -> dict[str, Tensor]:
        """Return the constants that are tensors, decompressed, by name."""
        return {name: value for name, value in self._constants.items() if isinstance(value, Tensor)}

    def _start(self, inputs: Mapping[str, Tensor]) -> dict[str, Value]:
        for declared in self._function.inputs:
            self._check(f"input {declared.name}", declared.type, inputs[declared.name])
        return {declared.name: inputs[declared.name] for declared in self._function.inputs}

    def _tensor(self, name: str, values: Mapping[str, Value]) -> Tensor:
        value = values.get(name, self._constants.get(name))
        if not isinstance(value, Tensor):
            raise TargetError(f"{self._name}: output {name} is never computed")
        return value

    def _fold(self, operation: Operation) -> None:
        try:
            if operation.type == "const":
                results: tuple[Value, ...] = (operation.attributes["val"],)
                if isinstance(results[0], Tensor):
                    self._check(operation.name, operation.outputs[0].type, results[0])
            else:
                results = self._apply(operation, {})
        except (TargetError, KeyError) as error:
            raise InputError(
                f"{self._name}: constant {operation.name} is damaged: {error}; deploy it again with `edge deploy`"
            ) from None
        self._constants.update(zip((item.name for item in operation.outputs), results, strict=True))

    def _apply(self, operation: Operation, values: Mapping[str, Value]) -> tuple[Tensor, ...]:
        operator = OPERATORS[operation.type]
        where = f"{operation.type} {operation.name}"
        narrow = False
        arguments: dict[str, object] = dict(operation.attributes)
        for key, given in operation.arguments.items():
            found = [self._argument(where, item, values, operator.widen) for item in given]
            narrow = narrow or any(half for _, half in found)
            if len(found) != 1 and key not in operator.lists:
                raise TargetError(f"{self._name}: {where} has {len(found)} values for {key}, expected one")
            arguments[key] = [value for value, _ in found] if key in operator.lists else found[0][0]
        results = self._compute(operator, where, arguments)
        if narrow:
            results = tuple(item.half() if item.dtype == torch.float32 else item for item in results)
        if len(results) != len(operation.outputs):
            raise TargetError(
                f"{self._name}: {where} has {len(results)} results, declared are {len(operation.outputs)}"
            )
        for declared, result in zip(operation.outputs, results, strict=True):
            self._check(f"{operation.type} {declared.name}", declared.type, result)
        return results

    def _argument(
        self, where: str, item: Reference | Value, values: Mapping[str, Value], widen: bool
    ) -> tuple[Value, bool]:
        """Return an argument, widened if it is fp16 and the operator wants that, and whether it was."""
        name = item.name if isinstance(item, Reference) else ""
        value = values.get(name, self._constants.get(name)) if isinstance(item, Reference) else item
        if value is None:
            raise TargetError(f"{self._name}: {where} uses {name}, which no earlier operation computes")
        if not widen or isinstance(value, str) or value.dtype != torch.float16:
            return value, False
        if name in self._constants:
            return self._wide.setdefault(name, value.float()), True
        return value.float(), True

    def _compute(self, operator: Operator, where: str, arguments: Mapping[str, object]) -> tuple[Tensor, ...]:
        try:
            results = operator.compute(**arguments)
        except UnsupportedForm as error:
            raise Unexecutable(self._name, [f"{where}: {error}"]) from None
        except EdgeError:
            raise
        except Exception as error:  # torch reports shapes that do not fit in many ways
            first = str(error).strip().split("\n", 1)[0]
            raise TargetError(f"{self._name}: {where} cannot be computed: {type(error).__name__}: {first}") from error
        return results if isinstance(results, tuple) else (results,)

    def _check(self, where: str, declared: TensorType, result: Tensor) -> None:
        """Raise TargetError unless a result has its declared type."""
        fits = result.ndim == len(declared.shape) and all(
            want is None or want == have for want, have in zip(declared.shape, result.shape, strict=True)
        )
        if not fits or STORAGE.get(declared.dtype) != result.dtype:
            raise TargetError(
                f"{self._name}: {where} is {describe(result)}, the program declares {declared}: the conversion is wrong"
            )


def _check_supported(function: Function, name: str) -> None:
    missing: Counter[str] = Counter()
    for operation in function.operations:
        if operation.type == "const":
            continue
        if operation.type not in OPERATORS or operation.has_blocks:
            missing[f"operator {operation.type}"] += 1
            continue
        given = frozenset((*operation.arguments, *operation.attributes))
        if why := OPERATORS[operation.type].refuse(given):
            missing[f"operator {operation.type} {why}"] += 1
    if missing:
        raise Unexecutable(name, [f"{what} ({count}×)" for what, count in sorted(missing.items())])


def _last_uses(steps: list[Operation], outputs: tuple[str, ...]) -> dict[int, list[str]]:
    """Return, for each step, the values that nothing needs after it."""
    last: dict[str, int] = {}
    for position, operation in enumerate(steps):
        for output in operation.outputs:
            last[output.name] = position
        for given in operation.arguments.values():
            last.update((item.name, position) for item in given if isinstance(item, Reference))
    uses: dict[int, list[str]] = {}
    for name, position in last.items():
        if name not in outputs:
            uses.setdefault(position, []).append(name)
    return uses
