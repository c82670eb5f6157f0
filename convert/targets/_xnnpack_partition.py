"""XNNPACK's partitioner with the operators that its kernels compute in 8 bits and its own rules take in float only."""

from __future__ import annotations

from typing import Any

from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.config.generic_node_configs import (
    AddConfig,
    ConstantPadConfig,
    HardswishConfig,
    MulConfig,
    SigmoidConfig,
)
from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

_CLIPPED = (AddConfig, MulConfig)  # the runtime clips their results to any range, the rules know ReLU
_IN_8_BITS = (ConstantPadConfig, HardswishConfig, SigmoidConfig)


def quantized_partitioner() -> Any:
    """Return the partitioner for a graph with fake-quantization."""
    return XnnpackPartitioner([_also_quantized(config) for config in ALL_PARTITIONER_CONFIGS])


def _also_quantized(config: Any) -> Any:
    if config in _IN_8_BITS:
        return _in_8_bits(config)
    return _with_clip(config) if config in _CLIPPED else config


def _in_8_bits(config: Any) -> Any:
    class Quantized(config):
        def supported_precision_types(self) -> list[Any]:
            return [ConfigPrecisionType.FP32, ConfigPrecisionType.STATIC_QUANT]

    return Quantized


def _with_clip(config: Any) -> Any:
    class Clipped(config):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.fused_acts = ["relu.default", "hardtanh.default"]

    return Clipped
