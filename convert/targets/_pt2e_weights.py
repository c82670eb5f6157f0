"""Weights are put on the grid of 8-bit codes by us, so that no runtime's quantizer has anything left to round.

Each layer's weights are chosen for the least error of its outputs on the calibration inputs (quant/weights.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.nn import functional as F

from convert.targets._pt2e_equalize import equalize_channels, is_owned, read_constant, write_constant
from quant.weights import least_error_weights

if TYPE_CHECKING:
    from convert.program import Program

aten = torch.ops.aten

_INPUTS = 12  # of the calibration inputs: moments settle soon
_POSITIONS = 1024  # of a layer's input, a picture
_MOST_COLUMNS = 1536  # wider layers have weights enough to bear plain rounding, and take minutes
_LAYERS = (aten.conv2d.default, aten.linear.default)


def fit_weights(
    module: GraphModule, calibration: Sequence[tuple[Tensor, ...]], kept: Collection[str] = ()
) -> dict[str, int]:
    """Equalize channels and put weights on their grids, in place; returns how many layers each was done to.

    Operators named by `kept` stay as they are but for equalization.
    """
    equalized = equalize_channels(module, calibration)
    found = fitted_weights(module, calibration, kept)
    for node in list(module.graph.nodes):
        if node.name in found:
            write_constant(module, node.args[1], found[node.name])
    return {"equalized": equalized, "fitted": len(found)}


def fitted(program: Program, kept: Collection[str] = ()) -> Program:
    """Return the program with its weights on their grids; its operators keep their names."""
    from convert.delegation import operator_nodes
    from convert.passes._rewrite import apply_rewrite

    tensors = program.calibration_tensors()
    exported = apply_rewrite(program.exported, lambda module: sum(fit_weights(module, tensors, kept).values()))
    changed = replace(program, exported=exported)
    same = [node.name for node in operator_nodes(changed)] == [node.name for node in operator_nodes(program)]
    return changed if same else program


def fitted_weights(
    module: GraphModule, calibration: Sequence[tuple[Tensor, ...]], kept: Collection[str] = ()
) -> dict[str, Tensor]:
    """Return the weights of 2D convolutions and linear layers on their grids, by the operators' names."""
    chosen = {node.name for node in module.graph.nodes if node.name not in kept and _fits(module, node)}
    moments = _Moments(module, chosen)
    with torch.no_grad():
        for inputs in calibration[:_INPUTS]:
            moments.run(*inputs)
        found = {}
        for node in module.graph.nodes:
            if node.name in moments.found:
                weight = read_constant(module, node.args[1])
                grouped = weight.reshape(_groups(node), -1, weight[0].numel())
                found[node.name] = least_error_weights(grouped, moments.found[node.name]).reshape(weight.shape)
    return found


class _Moments(Interpreter):
    """Run a graph and add up E[xxᵀ] of what some layers read, a group, over an even sample of positions."""

    def __init__(self, module: GraphModule, chosen: Collection[str]) -> None:
        super().__init__(module)
        self._chosen = chosen
        self.found: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        if n.name in self._chosen:
            source: Any = n.args[0]
            rows = _rows(n, self.env[source], read_constant(self.module, n.args[1]))  # type: ignore[arg-type]
            moment = rows @ rows.transpose(1, 2) / rows.shape[-1]
            self.found[n.name] = self.found[n.name] + moment if n.name in self.found else moment
        return super().run_node(n)


def _rows(node: Node, values: Tensor, weight: Tensor) -> Tensor:
    """Return what each output is a product with, (groups, K, positions)."""
    if node.target is aten.linear.default:
        rows = values.reshape(-1, values.shape[-1]).T.unsqueeze(0)
        return rows[..., :: _stride(rows.shape[-1])]
    stride, padding, dilation = (_pair(node, position, default) for position, default in ((3, 1), (4, 0), (5, 1)))
    unfolded = F.unfold(values, weight.shape[2:], dilation=dilation, padding=padding, stride=stride)
    positions = unfolded.shape[-1]
    groups = _groups(node)
    return unfolded.reshape(groups, -1, positions)[..., :: _stride(positions)]


def _stride(positions: int) -> int:
    return max(1, positions // _POSITIONS)


def _pair(node: Node, position: int, default: int) -> tuple[int, int]:
    given: Any = node.args[position] if len(node.args) > position else default
    values = [given] if isinstance(given, int) else list(given)
    return (values[0], values[-1])


def _groups(node: Node) -> int:
    return int(node.args[6]) if node.target is aten.conv2d.default and len(node.args) > 6 else 1  # type: ignore[arg-type]


def _fits(module: GraphModule, node: Node) -> bool:
    if node.op != "call_function" or node.target not in _LAYERS or not is_owned(node.args[1]):
        return False
    weight = read_constant(module, node.args[1])  # type: ignore[arg-type]
    return weight[0].numel() <= _MOST_COLUMNS
