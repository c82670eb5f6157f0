"""Write what TensorFlow's own layers answer where MaskConver's backbone, pyramid and heads have weights by a rule.

Run with TensorFlow 2.19, tf_keras and tf-models-official 2.19 (its wheel has the backbone and the pyramid; MaskConver's
head is written here with Keras's layers, as its configuration says):
TF_USE_LEGACY_KERAS=1 python scripts/record_maskconver.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "edge" / "zoo"))

import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402
from official.vision.modeling.backbones.mobilenet import MobileNet  # noqa: E402
from official.vision.modeling.layers.deeplab import SpatialPyramidPooling  # noqa: E402
from tf_filled import summary, values, waves  # noqa: E402

SIZES = ((96, 64), (256, 256))
WIDTH, CLASSES = 256, 201
HEADS = {"class_head": CLASSES, "centre_head": WIDTH, "pixel_head": WIDTH}
Named = Iterator[tuple[str, Any]]


def normed(name: str, layer: Any) -> Named:
    parts = {"gamma": layer.gamma, "beta": layer.beta}
    parts |= {"moving_mean": layer.moving_mean, "moving_variance": layer.moving_variance}
    yield from ((f"{name}/{part}", variable) for part, variable in parts.items())


def mixed(name: str, first: int, convolution: Any, norm: Any) -> Named:
    yield f"{name}.{first}/kernel", convolution.kernel
    yield from normed(f"{name}.{first + 1}", norm)


def backbone_variables(network: Any) -> Named:
    """Yield our name and the variable, layer by layer."""
    blocks = [layer for layer in network.layers if type(layer).__name__ == "InvertedBottleneckBlock"]
    plain = [layer for layer in network.layers if type(layer).__name__ == "Conv2DBNBlock"]
    yield from mixed("backbone.stem", 0, plain[0]._conv0, plain[0]._norm0)
    for number, block in enumerate(blocks):
        name = f"backbone.blocks.{number}"
        yield from mixed(f"{name}.expand", 0, block._conv0, block._norm0)
        yield f"{name}.depthwise.0/depthwise_kernel", block._conv1.depthwise_kernel
        yield from normed(f"{name}.depthwise.1", block._norm1)
        yield from mixed(f"{name}.project", 0, block._conv2, block._norm2)
    yield from mixed("backbone.deep", 0, plain[1]._conv0, plain[1]._norm0)


def pyramid_variables(layer: Any) -> Named:
    point, *atrous, pooled = layer.aspp_layers
    yield from mixed("pyramid.point", 0, *point.layers[:2])
    for number, branch in enumerate(atrous):
        yield f"pyramid.atrous.{number}.0/depthwise_kernel", branch.layers[0].depthwise_kernel
        yield from mixed(f"pyramid.atrous.{number}", 1, *branch.layers[1:3])
    yield from mixed("pyramid.pooled", 1, *pooled.layers[-1].layers[:2])
    yield from mixed("pyramid.project", 0, *layer.projection.layers[:2])


class Head(tf_keras.Model):  # type: ignore[misc]
    """MaskConver's head: `deeplabv3plus_sum_to_merge`, two separable convolutions of 7 × 7, a prediction."""

    def __init__(self, out: int) -> None:
        super().__init__()
        layers, norm = tf_keras.layers, tf_keras.layers.BatchNormalization
        self.low = [layers.Conv2D(WIDTH, 1, use_bias=False), norm(epsilon=1e-3)]
        self.mix = [
            layer
            for _ in range(2)
            for layer in (
                layers.DepthwiseConv2D(7, padding="same", use_bias=False),
                norm(epsilon=1e-3),
                layers.Conv2D(WIDTH, 1, use_bias=False),
                norm(epsilon=1e-3),
            )
        ]
        self.predict_layer = layers.Conv2D(out, 1)

    def call(self, features: Any) -> Any:
        shallow, deep = features
        low = tf.nn.relu(self.low[1](self.low[0](shallow), training=False))
        x = tf.image.resize(deep, tf.shape(low)[1:3], method="bilinear") + low
        for convolution, norm in zip(self.mix[::2], self.mix[1::2], strict=True):
            x = tf.nn.relu(norm(convolution(x), training=False))
        return self.predict_layer(x)


def head_variables(name: str, head: Any) -> Named:
    yield from mixed(f"{name}.low", 0, *head.low)
    for number in range(2):
        depthwise, first, point, second = head.mix[4 * number : 4 * number + 4]
        yield f"{name}.mix.{6 * number}/depthwise_kernel", depthwise.depthwise_kernel
        yield from normed(f"{name}.mix.{6 * number + 1}", first)
        yield from mixed(f"{name}.mix", 6 * number + 3, point, second)
    yield f"{name}.predict/kernel", head.predict_layer.kernel
    yield f"{name}.predict/bias", head.predict_layer.bias


def fill(variables: Named) -> None:
    for name, variable in variables:
        variable.assign(values(name, tuple(variable.shape)))


def main() -> None:
    found: dict[str, Any] = {}
    for height, width in SIZES:
        specs = tf_keras.layers.InputSpec(shape=(1, height, width, 3))
        network = MobileNet("MobileNetMultiAVGSeg", input_specs=specs, output_stride=16)
        pyramid = SpatialPyramidPooling(
            WIDTH, [6, 12, 18], batchnorm_epsilon=1e-3, activation="relu", dropout=0.0, use_depthwise_convolution=True
        )
        heads = {name: Head(out) for name, out in HEADS.items()}
        image = tf.constant(waves(1, height, width, 3))
        features = network(image, training=False)
        deep = pyramid(features["4"], training=False)
        for head in heads.values():
            head((features["3"], deep))  # makes the variables
        fill(backbone_variables(network))
        fill(pyramid_variables(pyramid))
        for name, head in heads.items():
            fill(head_variables(name, head))
        features = network(image, training=False)
        deep = pyramid(features["4"], training=False)
        outputs = {"shallow": features["3"], "deep": features["4"], "pyramid": deep}
        outputs |= {name: head((features["3"], deep)) for name, head in heads.items()}
        found[f"{height}x{width}"] = {
            name: summary(np.moveaxis(tensor.numpy(), 3, 1)) for name, tensor in outputs.items()
        }
    (ROOT / "tests" / "golden" / "maskconver.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
