"""Ternary weights on the Hexagon NPU: codes and scales are those that were trained, in 2, 4 or 8 bits.

ExecuTorch's observers spread the range over all codes, (quant_max - quant_min) / 2 of them; with the codes -2 … 1 of
2 bits that makes 1.5 codes of the largest weight and a third of its value wrong. Here the largest weight is the largest
positive code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchao.quantization.pt2e import PerChannelMinMaxObserver

from convert.targets._executorch import origin
from convert.targets._pt2e import quantize, quantizer_step
from convert.targets._pt2e_observers import activation_observer
from convert.targets._pt2e_ranges import cut_saturated_ranges
from convert.ternary import TernaryLayer, ternary_layers
from edge.artifact import Step
from edge.errors import Refused, TargetError
from quant.ternary import ternary_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

    from convert.program import Program


@dataclass(frozen=True, slots=True)
class Form:
    """Give a number of bits ExecuTorch's name, with activations in 16, and the code of the largest weight."""

    scheme: str
    largest: int


FORMS: Mapping[str, Form] = {
    "int2": Form("use_16a2w", 1),
    "int4": Form("use_16a4w", 7),
    "int8": Form("use_16a8w", 127),
}
_OTHERS = "use_16a8w"  # of weights that are not ternary
# Measured on the emulators of versions 68 to 81. Before 73 a linear layer in 2 bits computes something else without a
# word, and a convolution does not compile. Filters of depthwise and transposed convolutions take 8 bits in the file
# whatever they are given in.
_NARROW = ("conv1d", "conv2d", "linear")
_TWO_BITS = 73
_GROUPS = 6  # the position of a convolution's argument
_ROUNDING = 2.0**-22  # of float32, once when a scale is divided by the largest code and once when it is multiplied


def choose_forms(program: Program, version: int) -> dict[str, str]:
    """Return the densest form that a Hexagon version computes of every ternary layer, by operator.

    Raises Refused for a program without ternary weights, or with some in a transposed convolution in groups: with
    8-bit weights the emulator was 15 % off there.
    """
    nodes = {node.name: node for node in program.exported.graph.nodes}
    return {layer.operator: _form(layer, nodes[layer.operator], version) for layer in ternary_layers(program)}


def _form(layer: TernaryLayer, node: Node, version: int) -> str:
    grouped = len(node.args) > _GROUPS and node.args[_GROUPS] != 1
    if grouped and layer.op.startswith("conv_transpose"):
        raise Refused(
            f"{layer.operator} is a ternary transposed convolution in groups, which the NPU's "
            "emulator computes wrongly; use groups=1, or the nearest precision, fp16"
        )
    depthwise = grouped and layer.tensor.shape[1] == 1
    if layer.op not in _NARROW or depthwise:
        return "int8"
    return "int2" if version >= _TWO_BITS else "int4"


class PerChannelTernaryObserver(PerChannelMinMaxObserver):
    """Take a ternary weight's own scales for a quantizer, divided by the largest positive code.

    Its name tells torchao to say which axis the channels are on: it reads "PerChannel" in it.
    """

    min_val: Tensor
    max_val: Tensor

    def forward(self, x_orig: Tensor) -> Tensor:
        """Read the scales off the weight and pass it on; raises NotTernary if a pass has made it something else."""
        if not self.max_val.numel():  # the weight is the same for every calibration input
            scale = ternary_of(x_orig.detach().cpu().numpy(), axis=self.ch_axis).scale
            self.max_val = torch.from_numpy(scale.copy())
            self.min_val = -self.max_val
        return x_orig

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Return the scale of a code and the zero point 0 for each output channel."""
        return self.max_val / float(self.quant_max), torch.zeros(len(self.max_val), dtype=torch.int64)


def quantize_ternary(program: Program, chip: str, version: int) -> tuple[ExportedProgram, Step]:
    """Return a tagged program with its ternary weights in 2, 4 or 8 bits, others in 8, activations in 16; and a step.

    Ranges of activations are the extremes over the calibration pictures, or what the recipe's observer takes of them,
    less what saturates anyway. Raises Refused without ternary weights or pictures, TargetError if the graph cannot be
    quantized.
    """
    forms, counts = choose_forms(program, version), {"narrowed": 0}

    def narrow(prepared: GraphModule) -> None:
        counts["narrowed"] = cut_saturated_ranges(prepared)

    quantized = quantize(program, _quantizer(program, chip, forms), narrow=narrow)
    observer = program.recipe.observer or "min-max"
    options = {**Counter(forms.values()), **counts}
    step = quantizer_step("QnnQuantizer", program, "ternary", quantized, observer=observer, **options)
    return quantized.exported, step


def _quantizer(program: Program, chip: str, forms: Mapping[str, str]) -> Any:
    from executorch.backends.qualcomm.quantizer.quantizer import ModuleQConfig, QnnQuantizer, QuantDtype
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset, QnnExecuTorchBackendType

    options = {
        "is_conv_per_channel": True,
        "is_linear_per_channel": True,
        "act_observer": activation_observer(program.recipe.observer),
    }
    quantizer = QnnQuantizer(QnnExecuTorchBackendType.kHtpBackend, QcomChipset[chip])
    quantizer.set_default_quant_config(QuantDtype[_OTHERS], **options)
    configs = {name: _exact(ModuleQConfig(QuantDtype[FORMS[name].scheme], **options)) for name in set(forms.values())}
    quantizer.set_submodule_qconfig_list([(_in_form(forms, name), config) for name, config in configs.items()])
    return quantizer


def _exact(config: Any) -> Any:
    """Have a quantizer's configuration take the scales of weights from the weights, in place, and return it."""
    config.per_channel_quant_config_list = [
        replace(entry, weight=replace(entry.weight, observer_or_fake_quant_ctr=PerChannelTernaryObserver.with_args()))
        for entry in config.per_channel_quant_config_list
    ]
    return config


def _in_form(forms: Mapping[str, str], form: str) -> Callable[[Node], bool]:
    return lambda node: forms.get(origin(node)) == form


def check_weights(program: Program, lowered: Any) -> dict[str, int]:
    """Compare the ternary weights that QNN's compiler was given, codes × scales, with the program's.

    What the compiled context holds is Qualcomm's own and cannot be read back; this is the last graph before it.
    Returns how many were compared, and how many layers the NPU left to the CPU, which has their codes in 8 bits. Raises
    TargetError for a weight that is not trits × scale to the rounding of float32.
    """
    counts: Counter[str] = Counter()
    written = dict(_written(lowered.exported_program().graph_module))
    for layer in ternary_layers(program):
        if layer.operator not in written:
            counts["weights_on_cpu"] += 1
            continue
        if not written[layer.operator].holds(layer):
            raise TargetError(f"ExecuTorch changed the ternary weight {layer.weight} of {layer.operator}")
        counts["weights_checked"] += 1
    return counts


@dataclass(frozen=True, slots=True)
class Written:
    """A weight as QNN's compiler is given it: integers, and a scale for each index of an axis."""

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    axis: int

    def holds(self, layer: TernaryLayer) -> bool:
        """Say whether codes × scales are the layer's trits × scale, up to dimensions of 1."""
        codes = np.moveaxis(self.codes, self.axis, 0).reshape(len(self.scales), -1)
        expected = layer.tensor.dequantize().reshape(len(layer.tensor.scale), -1)
        found = codes.astype(np.float32) * self.scales[:, None]
        return found.shape == expected.shape and np.allclose(found, expected, rtol=_ROUNDING, atol=0)


def _written(module: GraphModule) -> Iterator[tuple[str, Written]]:
    """Yield the quantized weights in the delegates of a lowered graph with the exported operators that they are of."""
    for call in module.graph.nodes:
        if call.op != "get_attr" or not str(call.target).startswith("lowered_module_"):
            continue
        inner = getattr(module, str(call.target)).original_module
        for node in inner.graph.nodes:
            constant = _constant(node)
            attributes = constant.meta.get("quant_attrs", {}) if constant is not None else {}
            if constant is not None and "scales" in attributes:
                scales = attributes["scales"].detach().float().numpy().reshape(-1)  # (out, 1) of a linear layer
                yield origin(node), Written(_stored(inner, constant), scales, attributes["axis"])


def _constant(node: Node) -> Node | None:
    """Return the placeholder that an operator's second argument comes from."""
    source: Any = node.args[1] if node.op == "call_function" and len(node.args) > 1 else None
    while getattr(source, "op", "") == "call_function":
        source = source.args[0]
    return source if getattr(source, "op", "") == "placeholder" else None


def _stored(exported: ExportedProgram, node: Node) -> NDArray[np.int8]:
    signature = exported.graph_signature
    name = signature.inputs_to_buffers.get(node.name) or signature.inputs_to_parameters[node.name]
    value: Any = exported.state_dict[name] if name in exported.state_dict else exported.constants[name]
    stored: NDArray[np.int8] = value.detach().numpy()
    return stored
