"""Nodes of TensorFlow → the records that the `.tflite` importer builds a module from: shapes, layouts, spellings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convert.importers.tfjs.operators import OPERATORS, Draft, Refused
from convert.importers.tfjs.reader import Array, GraphModel, Malformed, Node, read_graph_model
from convert.importers.tflite.records import GraphRecord, OperatorRecord, TensorRecord
from edge.errors import ContractError, EdgeError, InputError

_TYPES = {"f": "FLOAT32", "i": "INT32", "u": "UINT8", "b": "BOOL"}
Shapes = Mapping[str, tuple[int, ...]]


def translate(topology: Path, weights: Path, inputs: Shapes, outputs: tuple[str, ...]) -> GraphRecord:
    """Return the part of a graph model between the tensors named, in an order in which its operators can run.

    Raises InputError for damaged files and names that are not in them, ContractError for operators that have no
    translation.
    """
    model = read_graph_model(topology, weights)
    try:
        translator = _Translator(topology, model, inputs or _placeholders(topology, model))
        return translator.run(outputs or model.outputs)
    except EdgeError:
        raise
    except Exception as error:  # a damaged file may hold anything as an attribute
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(
            f"{topology}: damaged graph ({type(error).__name__}: {reason}); fetch the model again"
        ) from error


def _placeholders(topology: Path, model: GraphModel) -> dict[str, tuple[int, ...]]:
    found = {node.name: node.shape() for node in model.nodes.values() if node.kind == "Placeholder"}
    for name, shape in found.items():
        if not shape or min(shape) < 1:
            raise InputError(f"{topology}: input {name} has the open shape {list(shape)}; pass the shape as inputs")
    return found


def _base(name: str) -> str:
    """Return a tensor's node: output 0 of "name" is spelled "name" or "name:0"."""
    return name.removesuffix(":0")


class _Translator:
    def __init__(self, topology: Path, model: GraphModel, inputs: Shapes) -> None:
        self._topology, self._model = topology, model
        self._tensors: list[TensorRecord] = []
        self._operators: list[OperatorRecord] = []
        self._index: dict[str, int] = {}
        self._problems: Counter[str] = Counter()
        for name, shape in inputs.items():
            self._known(name)
            self._index[_base(name)] = self._add(_base(name), shape)

    def run(self, outputs: tuple[str, ...]) -> GraphRecord:
        """Translate what the outputs need."""
        if not outputs:
            raise InputError(f"{self._topology} states no outputs; name the tensors to end at")
        inputs = tuple(range(len(self._tensors)))
        for name in outputs:
            self._known(name)
            self._walk(_base(name))
        if self._problems:
            listed = ", ".join(f"{kind} × {count}" for kind, count in sorted(self._problems.items()))
            raise ContractError(
                f"{self._topology.name} uses operators that cannot be imported: {listed}; add them to "
                "convert/importers/tfjs/operators.py or end the graph before them"
            )
        ends = tuple(self._index[_base(name)] for name in outputs)
        return GraphRecord(tuple(self._tensors), tuple(self._operators), inputs, ends)

    def _known(self, name: str) -> Node:
        found = self._model.nodes.get(_base(name))
        if found is None:
            raise InputError(f"{self._topology} has no tensor {name!r}; the first ones are {self._some()}")
        return found

    def _some(self) -> str:
        return ", ".join(list(self._model.nodes)[:3])

    def _walk(self, name: str) -> None:
        """Translate a node after everything that it needs, without recursion: graphs are deep."""
        waiting = [name]
        under_way: set[str] = set()
        while waiting:
            current = waiting[-1]
            if current in self._index:
                waiting.pop()
                continue
            node = self._known(current)
            missing = [i for i in map(_base, node.inputs) if i not in self._index]
            if missing:
                if current in under_way:
                    raise Malformed(f"node {current} needs its own result")
                under_way.add(current)
                waiting += missing
                continue
            self._node(node)
            waiting.pop()

    def _node(self, node: Node) -> None:
        constant = self._model.weights.get(node.name)
        if constant is not None:
            self._index[node.name] = self._add(node.name, constant.shape, constant)
            return
        if node.kind not in OPERATORS:
            self._problems[node.kind] += 1
            self._index[node.name] = self._add(node.name, ())
            return
        if self._problems:  # shapes are unknown behind what cannot be translated
            self._index[node.name] = self._add(node.name, ())
            return
        places = [self._index[_base(name)] for name in node.inputs]
        constants = [self._model.weights.get(_base(name)) for name in node.inputs]
        draft = Draft(node, tuple(self._tensors[place].shape for place in places), tuple(constants))
        try:
            made = OPERATORS[node.kind](draft)
        except Refused as error:
            self._problems[f"{node.kind} with {error}"] += 1
            self._index[node.name] = self._add(node.name, ())
            return
        read = [
            places[item] if isinstance(item, int) else self._add(node.name, item.shape, item) for item in made.inputs
        ]
        end = self._add(node.name, made.shape)
        self._operators.append(OperatorRecord(made.kind, tuple(read), (end,), made.options, b""))
        self._index[node.name] = end

    def _add(self, name: str, shape: tuple[int, ...], array: Array | None = None) -> int:
        kind = "FLOAT32" if array is None else _TYPES[array.dtype.kind]
        data = None if array is None else np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._tensors.append(TensorRecord(name, tuple(shape), kind, data, None, None))
        return len(self._tensors) - 1
