"""Eight bits for Core ML: symmetric weights per channel, activations per tensor, by ExecuTorch's CoreMLQuantizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from convert.targets._pt2e import quantize_with

if TYPE_CHECKING:
    from convert.program import Program


def quantize(program: Program) -> Program:
    """Return a quantized program; raises Refused without calibration inputs, TargetError if the quantizer fails."""
    from coremltools.optimize.torch.quantization import LinearQuantizerConfig, ModuleLinearQuantizerConfig
    from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer

    config = ModuleLinearQuantizerConfig(
        quantization_scheme="symmetric", activation_dtype=torch.quint8, weight_dtype=torch.qint8,
        weight_per_channel=True,
    )  # fmt: skip
    return quantize_with(CoreMLQuantizer(LinearQuantizerConfig(global_config=config)), program)
