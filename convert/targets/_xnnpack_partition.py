"""XNNPACK's partitioner with the operators that its kernels compute in 8 bits and its own rules take in float only."""

from __future__ import annotations

from typing import Any

from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.config.generic_node_configs import (
    ConstantPadConfig,
    HardswishConfig,
    SigmoidConfig,
)
from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

_IN_8_BITS = (ConstantPadConfig, HardswishConfig, SigmoidConfig)


def quantized_partitioner() -> Any:
    """Return the partitioner for a graph with fake-quantization."""
    return XnnpackPartitioner([_also_quantized(config) for config in ALL_PARTITIONER_CONFIGS])


def _also_quantized(config: Any) -> Any:
    if config not in _IN_8_BITS:
        return config

    class Quantized(config):
        def supported_precision_types(self) -> list[Any]:
            return [ConfigPrecisionType.FP32, ConfigPrecisionType.STATIC_QUANT]

    return Quantized
