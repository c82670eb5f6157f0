"""Variables of TensorFlow's DeepLabV3 on MobileNetV2 → the state dict of `deeplabv3-mobilenet-v2`.

Source of the names: tensorflow/models, research/deeplab/model.py and research/slim/nets/mobilenet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_LAYERS = {  # scope: the convolution's name here and its batch norm's
    "MobilenetV2/Conv": ("backbone.0.0", "backbone.0.1"),
    "aspp0": ("classifier.0.convs.0.0", "classifier.0.convs.0.1"),
    "image_pooling": ("classifier.0.convs.1.1", "classifier.0.convs.1.2"),
    "concat_projection": ("classifier.0.project.0", "classifier.0.project.1"),
    "logits/semantic": ("classifier.1", ""),
}
_RESIDUAL = re.compile(r"MobilenetV2/expanded_conv(?:_(\d+))?/(expand|depthwise|project)$")
_OF_TRAINING = re.compile(r"(^|/)(global_step|Momentum|ExponentialMovingAverage|Adam(_1)?)$")


def from_tensorflow(variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict for a checkpoint's variables by name; what has no variable of TensorFlow's stays as it is.

    Kernels turn from (height, width, in, out) to (out, in, height, width); depthwise ones have (…, channels, 1). The
    two halves that the projection takes change places: TensorFlow has the picture's mean first. Variables of the
    training alone are left out, and a name that is not known stays, for the loader to name.
    """
    if not any(name.startswith("MobilenetV2/") for name in variables):
        return dict(variables)
    state: dict[str, Tensor] = {}
    for name, value in variables.items():
        if not _OF_TRAINING.search(name):
            state |= _entry(name, value)
    return state


def _entry(name: str, value: Tensor) -> dict[str, Tensor]:
    scope, _, last = name.rpartition("/")
    inner, _, kind = scope.rpartition("/")
    convolution, norm = _layer(inner if kind == "BatchNorm" else scope)
    if kind == "BatchNorm" and norm and last in _NORM:
        counted = {f"{norm}.num_batches_tracked": torch.tensor(0)} if last == "gamma" else {}
        return {f"{norm}.{_NORM[last]}": value, **counted}
    if not convolution:
        return {name: value}
    if last == "biases":
        return {f"{convolution}.bias": value}
    if value.ndim != 4 or last not in ("weights", "depthwise_weights"):
        return {name: value}
    kernel = value.permute((2, 3, 0, 1) if last == "depthwise_weights" else (3, 2, 0, 1))
    if scope == "concat_projection":
        kernel = torch.cat(kernel.chunk(2, dim=1)[::-1], dim=1)
    return {f"{convolution}.weight": kernel.contiguous()}


def _layer(scope: str) -> tuple[str, str]:
    """Return what a scope's convolution and its batch norm are called here; empty if there is no such layer."""
    residual = _RESIDUAL.match(scope)
    if residual is None:
        return _LAYERS.get(scope, ("", ""))
    number, layer = int(residual[1] or 0), residual[2]
    widens = number > 0  # the first residual does not
    place = {"expand": 0, "depthwise": int(widens), "project": 1 + int(widens)}[layer]
    block = f"backbone.{number + 1}.conv"
    return (f"{block}.{place}", f"{block}.{place + 1}") if layer == "project" else (
        f"{block}.{place}.0", f"{block}.{place}.1"
    )  # fmt: skip
