"""Taps of compilers whose artifacts are opaque: the same program compiled again with more outputs.

A context binary for Qualcomm's NPU does not let anyone look inside. The target's own compile function is run again up
to the compiler's call, with the same recipe and calibration, so that quantization is what it was; there, values between
operators become outputs. The twin shows what the artifact computes only as far as their outputs agree, which is
checked and said.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from convert.passes import optimize
from convert.targets import TARGETS
from edge.artifact import Artifact, list_files
from edge.contract import TensorSpec
from edge.errors import TargetError
from edge.runtimes import open_session
from edge.runtimes._taps import Tap, Taps, relative_difference

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from convert.program import Program
    from convert.reference import Arrays

_SAME = 2e-2  # of the rms: the compiler places and fuses a little differently around more outputs
_DEQUANTIZED = re.compile(r"_DequantizeLinear_Output(?:_\d+)?$")


@dataclass(frozen=True, slots=True)
class Extra:
    """A value that a twin has as an output."""

    label: str  # of the exported operator, as far as it is known
    kind: str
    spec: TensorSpec
    step: float


class _Compiled(Exception):
    """End a compile function when its compiler has left the twin's file."""


def twin_taps(artifact: Artifact, program: Program, inputs: Arrays) -> Taps:
    """Compile a twin of an artifact from its program and return the values between its operators.

    Raises TargetError if the compiler or the emulator fails.
    """
    manifest = artifact.manifest
    target = TARGETS[manifest.target]
    program = optimize(program, target.family, manifest.precision)
    session = open_session(artifact)
    outputs = session.run(inputs)
    with tempfile.TemporaryDirectory(prefix="edge-twin-") as name:
        folder = Path(name)
        extras: list[Extra] = []
        with TWINS[target.family](extras, folder, manifest.precision):
            try:
                target.compile(program, manifest.precision, folder)
                raise TargetError(f"{target.id} compiled no twin of {artifact.root}")
            except _Compiled:
                pass
        specs = (*manifest.outputs, *(extra.spec for extra in extras))
        twin = Artifact(folder, msgspec.structs.replace(manifest, outputs=specs, files=list_files(folder)))
        found = open_session(twin).run(inputs)
    taps = tuple(
        Tap(extra.label, position, extra.kind, found[extra.spec.name], extra.step)
        for position, extra in enumerate(extras)
    )
    notes: tuple[str, ...] = (
        f"{target.id} hides its tensors: {len(extras)} are those of a twin, compiled again with more outputs",
    )
    for spec in manifest.outputs:
        error = relative_difference(found[spec.name], outputs[spec.name])
        if error > _SAME:
            notes += (
                f"this program does not compile to this artifact: output {spec.name} of its twin differs by "
                f"{error:.2g} of its rms, so that what is said of operators inside is said of the twin",
            )
    return Taps(session.mode, taps, outputs, tuple(extra.kind for extra in extras), notes)


def reference_program(program: Program, target_id: str, precision: str) -> Program:
    """Return the program as the target rescales it between layers before it quantizes; it computes the same."""
    if target_id.partition(":")[0] != "executorch-qnn" or precision == "fp16" or not program.calibration:
        return program
    from convert.targets._pt2e_equalize import equalize_channels

    calibration = program.calibration_tensors()
    module = program.exported.module(check_guards=False)
    equalize_channels(module, calibration)
    with torch.no_grad():
        return replace(program, exported=torch.export.export(module, calibration[0]))


@contextmanager
def _replaced(module: ModuleType, name: str, function: Callable[..., Any]) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, original)


@contextmanager
def _executorch_qnn(extras: list[Extra], folder: Path, precision: str) -> Iterator[None]:
    """Let the lowering of ExecuTorch's Qualcomm backend take a program with more outputs."""
    from convert.targets import _qnn_lower

    lower_to_qnn = _qnn_lower.lower_to_qnn

    def lower(name: str, exported: ExportedProgram, *arguments: Any, **options: Any) -> Any:
        widened = _widened(exported, extras, quantized=precision != "fp16")
        lowered, _ = lower_to_qnn(name, widened, *arguments, **options)
        (folder / "model.pte").write_bytes(lowered.to_executorch().buffer)
        raise _Compiled

    with _replaced(_qnn_lower, "lower_to_qnn", lower):
        yield


def _widened(exported: ExportedProgram, extras: list[Extra], *, quantized: bool) -> ExportedProgram:
    """Return a program that also returns what lies between its operators: dequantized values, or all if not quantized.

    A quantized program's values keep the numbers they have: taking one out does not change how it is quantized.
    """
    from convert.targets._executorch import origin

    module = exported.module(check_guards=False)
    graph = module.graph
    [output] = graph.find_nodes(op="output")
    have = set(output.all_input_nodes)
    flat: list[Any] = list(output.all_input_nodes)
    seen: set[Any] = set()
    for node in graph.nodes:
        source, step = _tapped(node, quantized=quantized)
        value = node.meta.get("val")
        if source is None or source in seen or node in have or not isinstance(value, torch.Tensor):
            continue
        if value.dtype is not torch.float32 or source.op == "placeholder":
            continue
        seen.add(source)
        flat.append(node)
        kind = getattr(source.target, "__name__", str(source.target))
        spec = TensorSpec(name=f"tap_{len(extras)}", shape=tuple(int(size) for size in value.shape), dtype="float32")
        extras.append(Extra(origin(source) or source.name, kind, spec, step))
    output.args = (tuple(flat),)
    return _exported_again(module, exported)


def _exported_again(module: Any, exported: ExportedProgram) -> ExportedProgram:
    """Trace a graph whose outputs were changed; its own description of its result is for the old ones."""
    graph = torch.fx.Graph()
    copied: dict[Any, Any] = {}
    result = graph.graph_copy(module.graph, copied)
    graph.output(tuple(result) if isinstance(result, (tuple, list)) else (result,))
    plain = torch.fx.GraphModule(module, graph)
    values = [node.meta["val"] for node in exported.graph.nodes if node.name in exported.graph_signature.user_inputs]
    examples = tuple(torch.zeros(tuple(value.shape), dtype=value.dtype) for value in values)
    with torch.no_grad():
        return torch.export.export(plain, examples)


def _tapped(node: Any, *, quantized: bool) -> tuple[Any, float]:
    """Return the operator whose value a node is, and the step of that value; None for a node that is not taken."""
    if node.op != "call_function":
        return None, 0.0
    name = str(node.target)
    if not quantized:
        return node, 0.0
    if "dequantize_per_tensor" not in name:
        return None, 0.0
    before = node.args[0]
    if not hasattr(before, "target") or "quantize_per_tensor" not in str(before.target):
        return None, 0.0  # a constant
    return before.args[0], float(before.args[1])


@contextmanager
def _onnx_qnn(extras: list[Extra], folder: Path, precision: str) -> Iterator[None]:
    """Let ONNX Runtime's QNN compiler take a model with more outputs."""
    from convert.targets import _onnx_qnn_context

    compile_context = _onnx_qnn_context.compile_context

    def compile_wide(content: bytes, *arguments: Any, **options: Any) -> Any:
        widened = _wide_onnx(content, extras, quantized=precision != "fp16")
        context = compile_context(widened, *arguments, **options)
        (folder / "model.onnx").write_bytes(context.model.SerializeToString())
        raise _Compiled

    with _replaced(_onnx_qnn_context, "compile_context", compile_wide):
        yield


def _wide_onnx(content: bytes, extras: list[Extra], *, quantized: bool) -> bytes:
    import onnx
    from onnx import numpy_helper

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    shapes = {value.name: value for value in model.graph.value_info}
    have = {value.name for value in model.graph.output}
    scales = {entry.name: entry for entry in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    seen: set[str] = set()
    for node in model.graph.node:
        name = node.output[0]
        before = makers.get(node.input[0]) if node.input else None
        if quantized and (node.op_type != "DequantizeLinear" or before is None or before.op_type != "QuantizeLinear"):
            continue
        source = makers.get(before.input[0]) if quantized and before is not None else node
        label = _DEQUANTIZED.sub("", name)
        if source is None or name in have or name not in shapes or label in seen:
            continue
        tensor = shapes[name].type.tensor_type
        if tensor.elem_type != onnx.TensorProto.FLOAT:
            continue
        seen.add(label)
        step = float(numpy_helper.to_array(scales[node.input[1]]).max()) if quantized else 0.0
        shape = tuple(size.dim_value for size in tensor.shape.dim)
        model.graph.output.append(shapes[name])
        extras.append(Extra(label, source.op_type, TensorSpec(name=name, shape=shape, dtype="float32"), step))
    return bytes(model.SerializeToString())


Twin = Callable[[list[Extra], Path, str], Any]
TWINS: Mapping[str, Twin] = {"executorch-qnn": _executorch_qnn, "onnx-qnn": _onnx_qnn}
