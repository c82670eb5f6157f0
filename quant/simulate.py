"""Quantization in eager PyTorch: round an exported program's weights and activations where a runtime would.

A run starts from the values of an earlier one and computes only what lies behind a changed layer, so that trying every
layer of a network once costs about half a forward pass each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from edge.errors import ContractError, Refused
from quant.layers import Layer, base_name, find_layers
from quant.observers import Observer, Range, Seen, choose_range

Inputs = tuple[Tensor, ...]
Bounds = tuple[float | None, float | None]
Values = dict[str, Any]  # by node name


@dataclass(frozen=True, slots=True)
class Assignment:
    """Say which layers round what; whatever is not named stays in float32.

    `weights` names layers with 8-bit weights, `outputs` the bits of a layer's result for all who read it, `inputs` the
    bits in which a layer reads what others computed (a layer of 8 bits next to one that is kept in float reads codes).
    """

    weights: frozenset[str] = frozenset()
    outputs: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, int] = field(default_factory=dict)

    def of(self, layer: Layer) -> tuple[bool, int, int]:
        """Return what one layer does: whether its weights are rounded, and the bits of its result and its reads."""
        return layer.name in self.weights, self.outputs.get(layer.name, 0), self.inputs.get(layer.name, 0)

    def only(self, layer: Layer, *, weights: bool, output: bool, bits: int = 8) -> Assignment:
        """Return this assignment with one layer's weights, result or both rounded in addition."""
        return Assignment(
            self.weights | {layer.name} if weights else self.weights,
            {**self.outputs, layer.name: bits} if output else self.outputs,
            self.inputs,
        )

    def without(self, layer: Layer, *, weights: bool, output: bool) -> Assignment:
        """Return this assignment with one layer's weights, result or both in float32."""
        outputs = {name: bits for name, bits in self.outputs.items() if not output or name != layer.name}
        return Assignment(self.weights - {layer.name} if weights else self.weights, outputs, self.inputs)


FLOAT = Assignment()


def quantized(
    layers: Sequence[Layer], *, bits: int = 8, kept: Collection[str] = (), kept_bits: int | None = None
) -> Assignment:
    """Return the assignment of a program in 8-bit weights and `bits`-bit activations, but for the layers in `kept`.

    Kept layers stay in float32, or with `kept_bits` have 8-bit weights and results of so many bits.
    """
    rest = [layer for layer in layers if layer.name not in kept]
    rounded = [layer for layer in layers if layer.name in kept] if kept_bits else []
    return Assignment(
        frozenset(layer.name for layer in (*rest, *rounded) if layer.weight),
        {layer.name: bits for layer in rest} | {layer.name: kept_bits for layer in rounded if kept_bits},
        {layer.name: bits for layer in rest},
    )


class Simulator:
    """Run the graph of an exported program, without its guards, with rounded weights and activations.

    Ranges come from calibration inputs; `saturation` tells outside of which bounds an operator's argument no longer
    changes its result: such values need no codes. `weights` are rounded weights by layer; others are rounded to the
    nearest code. Raises ContractError if an activation holds NaN or infinity, Refused
    without calibration inputs.
    """

    def __init__(
        self,
        module: GraphModule,
        calibration: Sequence[Inputs],
        observer: Observer = "min-max",
        saturation: Callable[[Node], Bounds | None] = lambda node: None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._module = module
        self._nodes: list[Node] = list(self._module.graph.nodes)
        self.layers = find_layers(self._module.graph)
        self._owner = {name: layer for layer in self.layers for name in (*layer.members, layer.output)}
        self._constants: Values = {n.name: _read(self._module, n) for n in self._nodes if n.op == "get_attr"}
        self._rounded_weights: dict[str, Tensor] = dict(weights or {})
        self._ranges = self._measure(calibration, observer)
        for layer in self.layers:
            self._ranges[layer.name] = self._cut(layer, saturation)

    @property
    def ranges(self) -> Mapping[str, Range]:
        """Return the range of every layer's result, by layer."""
        return self._ranges

    def readers(self, layer: Layer) -> tuple[Layer, ...]:
        """Return the layers that read a layer's result."""
        members = {layer.output, *layer.members}
        found: dict[str, Layer] = {}
        for node in self._nodes:
            reader = self._owner.get(node.name)
            if reader and reader is not layer and any(source.name in members for source in node.all_input_nodes):
                found[reader.name] = reader
        return tuple(found.values())

    def values(self, inputs: Inputs, assignment: Assignment = FLOAT) -> Values:
        """Return the value of every node under an assignment."""
        given = dict(zip((n.name for n in self._nodes if n.op == "placeholder"), inputs, strict=True))
        return self._walk(dict(given), assignment, lambda layer: True)

    def run(self, values: Values, base: Assignment, assignment: Assignment) -> tuple[Tensor, ...]:
        """Return the program's outputs under an assignment, given all values under `base`; computes what differs."""
        changed = {layer.name for layer in self.layers if base.of(layer) != assignment.of(layer)}
        found = self._walk(dict(values), assignment, lambda layer: layer.name in changed, known=values)
        return self.outputs(found)

    def outputs(self, values: Values) -> tuple[Tensor, ...]:
        """Return the program's outputs out of the values of its nodes."""
        result = self._nodes[-1].args[0]
        flat = result if isinstance(result, (tuple, list)) else (result,)
        return tuple(values[item.name] for item in flat if isinstance(item, Node))

    @torch.no_grad()
    def _walk(
        self, values: Values, assignment: Assignment, changed: Callable[[Layer], bool], known: Values | None = None
    ) -> Values:
        """Compute in place the nodes that are changed or read what is; `values` holds all others."""
        values.update(self._constants)
        dirty: set[str] = set()
        read_in: dict[tuple[str, int], Any] = {}
        for node in self._nodes:
            if node.op not in ("placeholder", "call_function"):
                continue
            layer = self._owner.get(node.name)
            touched = layer is not None and changed(layer)
            if known is not None and not touched and not any(n.name in dirty for n in node.all_input_nodes):
                continue
            dirty.add(node.name)
            if node.op == "call_function":
                values[node.name] = self._call(node, layer, values, assignment, read_in)
            elif known is not None:
                values[node.name] = self._inputs_of(known, node)
            if layer is not None and layer.output == node.name:
                if node.op == "placeholder":
                    values[f"{node.name}.given"] = values[node.name]
                bits = assignment.outputs.get(layer.name, 0)
                if bits:
                    values[node.name] = self.round(layer, values[node.name], bits)
        return values

    def _inputs_of(self, known: Values, node: Node) -> Any:
        return known.get(f"{node.name}.given", known[node.name])

    def _call(
        self,
        node: Node,
        layer: Layer | None,
        values: Values,
        assignment: Assignment,
        read_in: dict[tuple[str, int], Any],
    ) -> Any:
        bits = assignment.inputs.get(layer.name, 0) if layer else 0

        def fetch(source: Node) -> Any:
            if layer is not None and layer.weight == source.name and layer.name in assignment.weights:
                return self._weight(layer)
            owner = self._owner.get(source.name)
            if not bits or owner is None or owner is layer or assignment.outputs.get(owner.name) == bits:
                return values[source.name]
            key = (source.name, bits)
            if key not in read_in:
                read_in[key] = self.round(owner, values[source.name], bits)
            return read_in[key]

        args: Any = map_arg(node.args, fetch)
        kwargs: Any = map_arg(node.kwargs, fetch)
        if base_name(node).endswith("_"):  # it would write into a value that other runs start from
            args = (args[0].clone(), *args[1:])
        return node.target(*args, **kwargs)  # type: ignore[operator]  # a call_function's target is callable

    def round(self, layer: Layer, value: Any, bits: int) -> Any:
        """Return a result of a layer after rounding to 2^bits codes over the layer's measured range."""
        if isinstance(value, (tuple, list)):
            return type(value)(self.round(layer, item, bits) for item in value)
        low, high = self._ranges[layer.name]
        most = (1 << bits) - 1
        scale = (high - low) / most or 1.0
        return torch.fake_quantize_per_tensor_affine(value, scale, round(-low / scale), 0, most)

    def _weight(self, layer: Layer) -> Tensor:
        if layer.name not in self._rounded_weights:
            self._rounded_weights[layer.name] = round_weight(self._constants[layer.weight], layer.channel_axis)
        return self._rounded_weights[layer.name]

    def _measure(self, calibration: Sequence[Inputs], observer: Observer) -> dict[str, Range]:
        if not calibration:
            raise Refused(
                "there are no pictures to measure the range of activations on; give some with --data DIR if the model "
                "takes pictures"
            )
        seen = {layer.name: Seen() for layer in self.layers}
        self._ranges = {}
        for inputs in calibration:
            values = self.values(inputs)
            for layer in self.layers:
                for tensor in _tensors(values[layer.output]):
                    seen[layer.name].add(tensor.numpy())
        return {layer.name: _range(layer, seen[layer.name], observer) for layer in self.layers}

    def _cut(self, layer: Layer, saturation: Callable[[Node], Bounds | None]) -> Range:
        low, high = self._ranges[layer.name]
        users = [user for node in self._nodes if node.name == layer.output for user in node.users]
        bounds = saturation(users[0]) if len(users) == 1 else None
        if bounds is None:
            return low, high
        least, most = bounds
        return min(0.0, low if least is None else max(low, least)), max(0.0, high if most is None else min(high, most))


def round_weight(weight: Tensor, channel_axis: int, *, bits: int = 8) -> Tensor:
    """Return a weight rounded to symmetric integers with one scale per output channel."""
    most = (1 << (bits - 1)) - 1
    axes = [axis for axis in range(weight.dim()) if axis != channel_axis]
    peaks = weight.detach().abs().amax(dim=axes) if axes else weight.detach().abs()
    scales = torch.where(peaks > 0, peaks / most, torch.ones_like(peaks))
    zeros = torch.zeros(len(scales), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight.detach(), scales, zeros, channel_axis, -most, most)


def _range(layer: Layer, seen: Seen, observer: Observer) -> Range:
    try:
        return choose_range(seen, observer)
    except ValueError as error:
        raise ContractError(
            f"the result of {layer.name} ({layer.op}) cannot be quantized: {error}; check the weights and what the "
            "model computes there"
        ) from None


def _tensors(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _read(module: GraphModule, node: Node) -> Any:
    owner, _, name = str(node.target).rpartition(".")
    found = getattr(module.get_submodule(owner), name)
    return found.detach() if isinstance(found, Tensor) else found
