"""Program → .tflite bytes, for every target that is built from a LiteRT file."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Literal

import msgspec
import torch
from torch import Tensor, nn

from convert.export import example_inputs
from convert.targets._half import check_half_range
from convert.targets._litert_layout import channels_last_padding
from edge.artifact import Step
from edge.contract import TensorSpec

if TYPE_CHECKING:
    from convert.program import Program

Border = Literal["NCHW", "NHWC"]
_TO_NHWC, _TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


class _Named(nn.Module):
    """Call a graph by keyword and return its outputs by name, which become the signature of the file."""

    def __init__(
        self, network: nn.Module, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], border: Border
    ) -> None:
        super().__init__()
        self.network, self.border = network, border  # not "graph": the name is taken in exported modules
        self.inputs, self.outputs = inputs, outputs
        self.training = False  # eval() would reach the exported graph, which refuses the call

    def forward(self, **tensors: Tensor) -> dict[str, Tensor]:
        arguments = [self._turned(spec, tensors[spec.name], _TO_NCHW) for spec in self.inputs]
        results = self.network(*arguments)
        return {
            spec.name: self._turned(spec, result, _TO_NHWC) for spec, result in zip(self.outputs, results, strict=True)
        }

    def _turned(self, spec: TensorSpec, tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
        return tensor.permute(axes) if turns(spec, self.border) else tensor


def turns(spec: TensorSpec, border: Border) -> bool:
    """Tell whether a tensor of the contract changes its layout at this border."""
    return border == "NHWC" and spec.layout == "NCHW"


def border_specs(specs: tuple[TensorSpec, ...], border: Border) -> tuple[TensorSpec, ...]:
    """Return the specs as the file has them: images in channels-last order at an NHWC border."""
    return tuple(
        msgspec.structs.replace(spec, shape=tuple(spec.shape[axis] for axis in _TO_NHWC), layout="NHWC")
        if turns(spec, border)
        else spec
        for spec in specs
    )


def to_tflite(
    program: Program,
    precision: str,
    *,
    layout: Border = "NCHW",
) -> bytes:
    """Convert a program to a `.tflite` file with one signature that bears the contract's names.

    `layout="NHWC"` turns image inputs and outputs to channels-last at the border. fp16 stores the weights of
    convolutions and matrix products as float16 and computes in float32. Raises Refused if weights exceed float16.
    """
    if precision == "fp16":
        check_half_range(program)
    content = _convert(program, layout)
    return _halve_weights(content) if precision == "fp16" else content


def litert_steps(precision: str) -> tuple[Step, ...]:
    """Return the tools that `to_tflite` uses at a precision."""
    converter = Step(tool="litert-torch", version=metadata.version("litert-torch"))
    if precision != "fp16":
        return (converter,)
    version = metadata.version("ai-edge-quantizer")
    return (converter, Step(tool="ai-edge-quantizer", version=version, options={"algorithm": "float_casting"}))


def _convert(program: Program, border: Border) -> bytes:
    import litert_torch
    from litert_torch import progress

    contract = program.contract
    network = program.exported.module(check_guards=False)
    module = _Named(network, contract.inputs, contract.outputs, border)
    examples = {
        spec.name: tensor.permute(_TO_NHWC).contiguous() if turns(spec, border) else tensor
        for spec, tensor in zip(contract.inputs, example_inputs(contract), strict=True)
    }
    wide = any(spec.dtype == "int64" for spec in (*contract.inputs, *contract.outputs))
    shown, progress.config.show_progress = progress.config.show_progress, False
    try:
        with torch.no_grad(), channels_last_padding():
            converted = litert_torch.convert(module, sample_kwargs=examples, enable_x64=wide)
            return bytes(converted.model_content())
    finally:
        progress.config.show_progress = shown


def _halve_weights(content: bytes) -> bytes:
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    recipe = quantizer.Quantizer(bytearray(content))
    recipe.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=half, compute_precision=qtyping.ComputePrecision.FLOAT, explicit_dequantize=True
        ),
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    result = recipe.quantize(enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)
