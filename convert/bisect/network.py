"""The eager side: every value of an exported program, and any stretch of it run again on other tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

if TYPE_CHECKING:
    from convert.program import Program


@dataclass(frozen=True, slots=True)
class Stretch:
    """The operators between matched tensors and the one that they lead to, in execution order."""

    result: Node
    inputs: tuple[Node, ...]  # whose values come from outside: matched tensors, the program's inputs
    operators: tuple[Node, ...]  # the result last


class Network:
    """A program executed once in eager PyTorch with every value kept."""

    def __init__(self, program: Program, inputs: Sequence[Tensor]) -> None:
        """Run the program on its inputs in the contract's order."""
        exported = program.exported
        self.nodes = [node for node in exported.graph.nodes if node.op in ("placeholder", "call_function", "get_attr")]
        self.order = {node: index for index, node in enumerate(self.nodes)}
        given = dict(zip(exported.graph_signature.user_inputs, inputs, strict=True))
        self._module = exported.graph_module
        self._stored = _stored(exported)
        self.values: dict[Node, Any] = {}
        self.variable: set[Node] = set()  # what depends on the inputs; all else is constant
        for node in self.nodes:
            if node.op == "placeholder" and node.name in given:
                self.values[node] = given[node.name]
                self.variable.add(node)
            else:
                self.values[node] = self.compute(node, self.values)
                if any(source in self.variable for source in node.all_input_nodes):
                    self.variable.add(node)
        [output] = exported.graph.find_nodes(op="output")
        self.outputs: tuple[Node, ...] = tuple(output.args[0])
        self.inputs = tuple(node for node in self.nodes if node.name in given and node.op == "placeholder")

    def tensors(self) -> Iterator[Node]:
        """Yield the operators that compute one tensor from the inputs, in execution order."""
        for node in self.nodes:
            if node.op == "call_function" and node in self.variable and isinstance(self.values[node], Tensor):
                yield node

    def stretch(self, result: Node, known: Mapping[Node, Any]) -> Stretch:
        """Return what leads from known tensors to `result`, which itself is computed."""
        inputs: dict[Node, None] = {}
        operators: dict[Node, None] = {result: None}
        todo = [result]
        while todo:
            for source in todo.pop().all_input_nodes:
                if source in known or (source in self.variable and source.op == "placeholder"):
                    inputs[source] = None
                elif source in self.variable and source not in operators:
                    operators[source] = None
                    todo.append(source)
        return Stretch(
            result,
            tuple(sorted(inputs, key=self.order.__getitem__)),
            tuple(sorted(operators, key=self.order.__getitem__)),
        )

    def compute(self, node: Node, values: Mapping[Node, Any]) -> Any:
        """Return a node's value from those of its inputs; eager values stand in for what `values` lacks."""
        if node.op == "placeholder":
            return self._stored[node.name]
        if node.op == "get_attr":
            return getattr(self._module, str(node.target))
        changes = getattr(getattr(node.target, "_schema", None), "is_mutable", False)

        def value(source: Node) -> Any:
            found = values[source] if source in values else self.values[source]
            return found.clone() if changes and isinstance(found, Tensor) else found

        with torch.no_grad():
            return node.target(*map_arg(node.args, value), **map_arg(node.kwargs, value))  # type: ignore[operator]


def _stored(exported: Any) -> dict[str, Any]:
    """Return parameters, buffers and constants by the name of their placeholder."""
    signature = exported.graph_signature
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    stored = {**exported.constants, **exported.state_dict}
    return {name: stored[target].detach() for name, target in names.items()}


def module_of(network: Network, stretch: Stretch) -> torch.fx.GraphModule:
    """Return a stretch as a module of its own, with what it reads of weights and constants inside."""
    graph = torch.fx.Graph()
    root = torch.nn.Module()
    made: dict[Node, Node] = {node: graph.placeholder(node.name) for node in stretch.inputs}

    def take(source: Node) -> Node:
        if source not in made:  # a weight or another constant
            name = f"constant_{source.name}"
            root.register_buffer(name, network.values[source].detach().clone())
            made[source] = graph.get_attr(name)
        return made[source]

    for node in stretch.operators:
        for source in node.all_input_nodes:
            take(source)
        made[node] = graph.node_copy(node, take)
        made[node].meta = {}
    graph.output((made[stretch.result],))
    return torch.fx.GraphModule(root, graph)
