"""Write down what a program with Ethos-U delegates computes, so that it can be executed without the NPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.targets._arm_lower import VelaRun
from edge.artifact import encode_json, write_atomic
from edge.runtimes._tosa import CONSTANTS, FOLDER, GETITEM, SCHEDULE, Call, Schedule

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node


class _Unwritable(Exception):
    """Say which operator or argument has no form in JSON."""


def write_reference(folder: Path, exported: ExportedProgram, runs: Sequence[VelaRun]) -> None:
    """Write the schedule of a lowered program, its constants and the TOSA graph of every delegate below `folder`.

    An operator that cannot be written down becomes the schedule's obstacle: the artifact is then not executable here.
    """
    (folder / FOLDER).mkdir()
    writer = _Writer(exported, {run.stream: f"{index}.tosa" for index, run in enumerate(runs)})
    outputs = tuple(str(name) for name in exported.graph_signature.user_outputs)
    inputs = tuple(str(name) for name in exported.graph_signature.user_inputs)
    try:
        calls = tuple(writer.call(node) for node in exported.graph.nodes if node.op == "call_function")
    except _Unwritable as error:
        write_atomic(folder / SCHEDULE, encode_json(Schedule(inputs=(), outputs=(), calls=(), obstacle=str(error))))
        return
    for index, run in enumerate(runs):
        (folder / FOLDER / f"{index}.tosa").write_bytes(run.tosa)
    if writer.constants:
        np.savez(folder / CONSTANTS, allow_pickle=False, **writer.constants)
    write_atomic(folder / SCHEDULE, encode_json(Schedule(inputs=inputs, outputs=outputs, calls=calls)))


@dataclass(frozen=True, slots=True)
class _Writer:
    exported: ExportedProgram
    graphs: dict[bytes, str]  # a delegate's compiled bytes → the file of its TOSA graph
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def call(self, node: Node) -> Call:
        name = getattr(node.target, "__name__", "")
        if name == GETITEM:
            return Call(name=node.name, op=GETITEM, args=self._encode(node.args))
        if name == "executorch_call_delegate":
            module: Any = node.args[0]
            stream = getattr(self.exported.graph_module, module.target).processed_bytes
            return Call(name=node.name, op=self.graphs[stream], args=self._encode(node.args[1:]))
        operator = getattr(node.target, "_op", node.target)  # the edge dialect wraps PyTorch's operators
        kwargs = {key: self._encode(value) for key, value in node.kwargs.items() if value is not None}
        return Call(name=node.name, op=str(operator), args=self._encode(node.args), kwargs=kwargs)

    def _encode(self, value: Any) -> Any:
        import torch
        from torch.fx import Node

        if isinstance(value, (list, tuple)):
            return [self._encode(item) for item in value]
        if isinstance(value, Node):
            return self._reference(value)
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": repr(value)}  # JSON has no infinity
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise _Unwritable(f"an operator outside the delegates takes {value!r}, which only ExecuTorch understands")

    def _reference(self, node: Node) -> dict[str, str]:
        signature = self.exported.graph_signature
        name = signature.inputs_to_parameters.get(node.name) or signature.inputs_to_buffers.get(node.name)
        constant = signature.inputs_to_lifted_tensor_constants.get(node.name)
        if name is None and constant is None:
            return {"value": node.name}
        tensor = self._tensor(name or str(constant))
        self.constants[node.name] = tensor.detach().cpu().numpy()
        return {"constant": node.name}

    def _tensor(self, name: str) -> Any:
        return self.exported.state_dict[name] if name in self.exported.state_dict else self.exported.constants[name]
