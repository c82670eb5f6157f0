"""Core ML models with compressed weights, computed in float16: 8 bits with a scale a channel, or a palette of 16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OPTIONS: Mapping[str, Mapping[str, str | int]] = {
    "w8": {"weights": "int8, symmetric", "granularity": "per_channel"},
    "w4": {"weights": "4-bit palette, k-means", "granularity": "per_grouped_channel", "group_size": 4},
}


def compress(model: Any, precision: str) -> Any:
    """Return the model with its weights in 8 or 4 bits; vectors (biases) stay in float."""
    from coremltools.optimize import coreml as cto

    if precision == "w8":
        linear = cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", weight_threshold=0)
        return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=linear))
    palette = cto.OpPalettizerConfig(
        mode="kmeans", nbits=4, granularity="per_grouped_channel", group_size=4, weight_threshold=0
    )
    return cto.palettize_weights(model, cto.OptimizationConfig(global_config=palette))
