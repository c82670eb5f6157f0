"""Walk the operators of a file and build the module; everything unsupported is collected into one error."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from convert.importers.tflite import ImportedGraph
from convert.importers.tflite.builder import Builder, Unsupported
from convert.importers.tflite.constants import DTYPES, decode
from convert.importers.tflite.names import common_scope, identifier, layer_name
from convert.importers.tflite.operators import OPERATORS, Call
from convert.importers.tflite.patterns import fold_patterns
from convert.importers.tflite.reader import Malformed, read_graph
from convert.importers.tflite.records import GraphRecord, OperatorRecord, TensorRecord
from convert.importers.tflite.values import TO_FILE, Order, Value, image_shape
from edge.contract import DType, Layout, TensorSpec
from edge.errors import ContractError, EdgeError, InputError

MAX_FOLDED = 1 << 26  # elements of one constant computed at import


def build(path: Path) -> ImportedGraph:
    """Do what `import_tflite` says."""
    return assemble(path, read_graph(path))


def assemble(path: Path, record: GraphRecord) -> ImportedGraph:
    """Build the module of a graph that was read from `path`, as `import_tflite` describes it."""
    _check_supported(path, record)
    try:
        imported = _Importer(path, record).run()
        _check_shapes(imported)
    except EdgeError:
        raise
    except Exception as error:  # a damaged file may ask any operator for anything
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(f"{path}: damaged {path.suffix} file ({reason}); convert or download it again") from error
    return imported


def _check_supported(path: Path, record: GraphRecord) -> None:
    unknown = Counter(entry.kind for entry in record.operators if entry.kind not in OPERATORS)
    if unknown:
        _reject(path, [f"{kind} × {count}" for kind, count in sorted(unknown.items())])


def _reject(path: Path, items: list[str]) -> None:
    raise ContractError(
        f"{path.name} uses operators that cannot be imported: {', '.join(items)}; "
        "add them under convert/importers/tflite/operators or export the model without them"
    )


class _Importer:
    def __init__(self, path: Path, record: GraphRecord) -> None:
        self._path, self._record = path, record
        self._build = Builder()
        self._scope = common_scope(part for entry in record.tensors for part in entry.name.split(";") if "/" in part)
        self._values: dict[int, Value] = {}
        self._problems: Counter[str] = Counter()

    def run(self) -> ImportedGraph:
        inputs = tuple(self._input(index) for index in self._record.inputs)
        for number, entry in enumerate(self._record.operators):
            try:
                self._operator(entry)
            except Unsupported as error:
                self._problems[f"{entry.kind} with {error}"] += 1
            except Malformed:
                raise
            except Exception as error:
                raise Malformed(f"operator {number}, {entry.kind}: {error}") from error
        if self._problems:
            _reject(self._path, [f"{problem} × {count}" for problem, count in sorted(self._problems.items())])
        outputs, nodes = zip(*(self._output(index) for index in self._record.outputs), strict=True)
        self._build.graph.output(nodes[0] if len(nodes) == 1 else tuple(nodes))
        draft = fx.GraphModule(self._build.root, self._build.graph)
        fold_patterns(draft.graph)
        module = fx.GraphModule(draft, draft.graph, _class_name(self._path))  # takes over only what is still used
        return ImportedGraph(module.eval(), inputs, outputs)

    def _short(self, name: str) -> str:
        return ";".join(part.removeprefix(self._scope) for part in name.split(";"))

    def _input(self, index: int) -> TensorSpec:
        tensor = self._record.tensors[index]
        order: Order = "image" if len(tensor.shape) == 4 and not self._channels_second(index) else "file"
        node = self._build.graph.placeholder(identifier(tensor.name))
        self._values[index] = Value(tensor.shape, nodes={order: node})
        return _spec(tensor, order)

    def _channels_second(self, index: int) -> bool:
        """Tell whether an input is (N, C, H, W) already: all that the file does with it is to make an image of it."""
        users = [entry for entry in self._record.operators if index in entry.inputs]
        return bool(users) and all(entry.kind == "TRANSPOSE" and self._axes(entry) == TO_FILE for entry in users)

    def _axes(self, entry: OperatorRecord) -> tuple[int, ...]:
        known = len(entry.inputs) == 2 and self._record.tensors[entry.inputs[1]].data is not None
        axes = self._resolve(entry.inputs[1]).constant if known else None
        return () if axes is None else tuple(int(axis) for axis in axes.reshape(-1))

    def _output(self, index: int) -> tuple[TensorSpec, fx.Node]:
        value, tensor = self._resolve(index), self._record.tensors[index]
        order: Order = value.order if len(value.shape) == 4 else "file"
        return _spec(tensor, order), self._build.node(value, order)

    def _resolve(self, index: int) -> Value:
        if index not in self._values:
            tensor = self._record.tensors[index]
            self._values[index] = Value(tensor.shape, decode(tensor))
        return self._values[index]

    def _operator(self, entry: OperatorRecord) -> None:
        tensors = self._record.tensors
        if any(index >= 0 and index not in self._values and tensors[index].data is None for index in entry.inputs):
            if self._problems:
                return  # follows from an operator that has been reported
            raise Malformed("an input that nothing computes")
        inputs = tuple(self._resolve(index) if index >= 0 else None for index in entry.inputs)
        self._build.current = identifier(layer_name(self._short(tensors[entry.outputs[0]].name)))
        call = Call(
            kind=entry.kind,
            options=entry.options,
            custom=entry.custom,
            inputs=inputs,
            output_shapes=tuple(tensors[index].shape for index in entry.outputs),
            names=tuple(self._short(tensors[index].name) if index >= 0 else "" for index in entry.inputs),
            build=self._build,
        )
        results = _evaluate(call) if _all_constant(inputs) else OPERATORS[entry.kind](call)
        results = (results,) if isinstance(results, Value) else results
        self._values.update(zip(entry.outputs, results, strict=True))


def _all_constant(inputs: tuple[Value | None, ...]) -> bool:
    return all(value is None or value.constant is not None for value in inputs)


_ARGUMENTS = frozenset(
    {"RESHAPE", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "PAD", "PADV2", "MIRROR_PAD", "TILE", "GATHER"}
)


def _evaluate(call: Call) -> tuple[Value, ...]:
    """Compute an operator on constants now, by running its own handler on them; decoders run as they are."""
    direct = OPERATORS[call.kind](call) if call.kind in ("DENSIFY", "DEQUANTIZE", "QUANTIZE", "SHAPE") else None
    if direct is not None:
        return (direct,) if isinstance(direct, Value) else direct
    if sum(math.prod(shape) for shape in call.output_shapes) > MAX_FOLDED:
        raise Unsupported("a constant result that is too large")
    inner, feeds, inputs = Builder(), [], list(call.inputs)
    data = 1 if call.kind == "SPLIT" else 0
    for place, value in enumerate(call.inputs):
        # Data is fed as a tensor, the arguments (shapes, axes, amounts) stay constants.
        is_argument = place != data and (
            call.kind in _ARGUMENTS or call.kind.startswith(("SPLIT", "REDUCE", "MEAN", "SUM", "ARG"))
        )
        if value is None or value.constant is None or is_argument:
            continue
        feeds.append(torch.from_numpy(np.array(value.constant)))
        inputs[place] = Value(value.shape, nodes={"file": inner.graph.placeholder(f"input_{place}")})
    folded = Call(call.kind, call.options, call.custom, tuple(inputs), call.output_shapes, call.names, inner)
    results = OPERATORS[call.kind](folded)
    results = (results,) if isinstance(results, Value) else results
    inner.graph.output(tuple(inner.node(value, "file") for value in results))
    module = fx.GraphModule(inner.root, inner.graph)
    with torch.no_grad():
        _dry_run(module, tuple(feeds), call.output_shapes)
        arrays: list[NDArray[Any]] = [tensor.numpy() for tensor in module(*feeds)]
    return tuple(Value(array.shape, array) for array in arrays)


def _dry_run(module: torch.nn.Module, inputs: tuple[Tensor, ...], shapes: tuple[tuple[int, ...], ...]) -> None:
    """Run on tensors without storage and raise Malformed unless the outputs have the shapes stated."""
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    state = {name: tensor.to("meta") for name, tensor in state.items()}
    outputs = torch.func.functional_call(module, state, tuple(tensor.to("meta") for tensor in inputs))
    found = tuple(tuple(tensor.shape) for tensor in (outputs if isinstance(outputs, tuple) else (outputs,)))
    if found != shapes:
        raise Malformed(f"outputs {[list(shape) for shape in found]} where the file states {[list(s) for s in shapes]}")


def _check_shapes(imported: ImportedGraph) -> None:
    inputs = tuple(torch.empty(spec.shape, dtype=getattr(torch, spec.dtype), device="meta") for spec in imported.inputs)
    with torch.no_grad():
        _dry_run(imported.module, inputs, tuple(spec.shape for spec in imported.outputs))


def _spec(tensor: TensorRecord, order: Order) -> TensorSpec:
    shape = image_shape(tensor.shape) if order == "image" else tensor.shape
    layout: Layout = "NCHW" if order == "image" else ""
    return TensorSpec(name=tensor.name or "tensor", shape=shape, dtype=_dtype(tensor), layout=layout)


def _dtype(tensor: TensorRecord) -> DType:
    if tensor.quantization is not None or tensor.type == "FLOAT16":
        return "float32"  # computed in real numbers
    if tensor.type not in DTYPES:
        raise ContractError(f"tensor {tensor.name!r} has type {tensor.type}; PyTorch has none like it")
    return np.dtype(DTYPES[tensor.type]).name  # type: ignore[return-value]  # TensorSpec checks it on decode


def _class_name(path: Path) -> str:
    return "".join(part.capitalize() for part in identifier(path.stem).split("_")) or "Imported"
