"""Grow a torch.fx graph with its modules, parameters and buffers, operator by operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional as F

from convert.importers.tflite.names import Names
from convert.importers.tflite.values import TO_FILE, TO_IMAGE, Order, Value, align, image_shape, same_memory

ACTIVATIONS: dict[int, Callable[[Tensor], Tensor]] = {
    1: F.relu,
    3: F.relu6,
    4: torch.tanh,
}  # by the schema's ActivationFunctionType


class Unsupported(Exception):
    """Carry why one operator, though known, cannot be imported as it is used."""


class Builder:
    """Emit nodes into one graph; every method returns the node that computes the result."""

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.root = nn.Module()
        self.names = Names()
        self.current = "value"  # the name that the next nodes carry
        self._shared: dict[tuple[int, int, Order], fx.Node] = {}

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        """Emit a call of a function on nodes and plain values."""
        return self.graph.create_node("call_function", function, args, kwargs, name=self.current)

    def method(self, name: str, *args: Any, **kwargs: Any) -> fx.Node:
        """Emit a call of the tensor method `name` on the first argument."""
        return self.graph.create_node("call_method", name, args, kwargs, name=self.current)

    def module(self, name: str, module: nn.Module, *args: fx.Node) -> fx.Node:
        """Add a submodule under a free name close to `name` and emit its call."""
        name = self.names.free(name)
        self.root.add_module(name, module)
        self.current = name
        return self.graph.create_node("call_module", name, args, {}, name=name)

    def stored(self, name: str, array: NDArray[Any], *, trainable: bool) -> fx.Node:
        """Add a parameter (or a buffer) under a free name close to `name` and emit its reading."""
        name = self.names.free(name)
        tensor = torch.from_numpy(np.array(array, order="C"))
        if trainable:
            self.root.register_parameter(name, nn.Parameter(tensor))
        else:
            self.root.register_buffer(name, tensor)
        return self.graph.create_node("get_attr", name, (), {}, name=name)

    def activate(self, node: fx.Node, code: int) -> fx.Node:
        """Emit a fused activation, or nothing for code 0."""
        if code == 0:
            return node
        if code == 2:
            return self.call(F.hardtanh, node, -1.0, 1.0)
        if code not in ACTIVATIONS:
            raise Unsupported(f"fused activation {code}")
        return self.call(ACTIVATIONS[code], node)

    def node(self, value: Value, order: Order) -> fx.Node:
        """Return the value in `order`, converting it once if it is only at hand in the other."""
        if value.constant is not None:
            return self._constant(value, len(value.shape), order)
        if order not in value.nodes:
            value.nodes[order] = self._convert(value, order)
        return value.nodes[order]

    def _convert(self, value: Value, order: Order) -> fx.Node:
        source = value.nodes["image" if order == "file" else "file"]
        if same_memory(value.shape):
            return self.call(torch.reshape, source, image_shape(value.shape) if order == "image" else value.shape)
        return self.call(torch.permute, source, TO_IMAGE if order == "image" else TO_FILE)

    def operand(self, value: Value, rank: int, order: Order) -> fx.Node | float | int | bool:
        """Return the value ready for broadcasting against `rank` axes in `order`; one-element constants as numbers."""
        if value.constant is not None:
            if value.constant.size == 1 and value.constant.dtype.kind in "fiub":
                number: float | int | bool = value.constant.reshape(()).item()
                return number
            return self._constant(value, rank, order)
        if order == "file" or len(value.shape) == rank:
            return self.node(value, order)
        shape = (1,) * (rank - len(value.shape)) + value.shape
        lifted = Value(shape, nodes={"file": self.call(torch.reshape, self.node(value, "file"), shape)})
        return self.node(lifted, order)

    def _constant(self, value: Value, rank: int, order: Order) -> fx.Node:
        array = value.constant
        if array is None:
            raise Unsupported("a value that must be constant")
        key = (id(value), rank, order)
        if key not in self._shared:
            # One number per channel is a learned scale, shift or slope; anything larger is a fixed table.
            per_channel = array.ndim > 0 and array.size == array.shape[-1] and array.dtype.kind == "f"
            aligned = align(array, rank if order == "image" else array.ndim, order)
            self._shared[key] = self.stored(f"{self.current}_constant", aligned, trainable=per_channel)
        return self._shared[key]
