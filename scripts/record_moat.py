"""Write what the published MOAT says of itself: variables, parameters, multiply-accumulates and answers.

Run with TensorFlow 2 and tf_keras, given the folder that holds a checkout of google-research/deeplab2 (64bc1c1) under
the name deeplab2:  TF_USE_LEGACY_KERAS=1 python scripts/record_moat.py FOLDER
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "edge" / "zoo"), sys.argv[1]]

import tensorflow as tf  # noqa: E402
from deeplab2.model.layers import moat_attention  # noqa: E402
from deeplab2.model.pixel_encoder import moat  # noqa: E402
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # noqa: E402
from tf_filled import summary, values, waves  # noqa: E402

STEM = "moat/stem/"  # what checkpoints put before the stem's names, which Keras drops
PICTURES = {"96x64": (96, 64), "256x256": (256, 256)}


def build(number: int, hw: tuple[int, int], *, positions: bool, classes: int | None) -> Any:
    """Return the published network with attention over the whole map."""
    name = f"tiny_moat{number}_pretrain_256_{'' if positions else 'no_pe_'}1k"
    windows = [None, None, None, None]
    override = {"build_classification_head_with_class_num": classes}
    return moat.get_model(name, (*hw, 3), window_size=windows, override_config=override)


def checkpoint_name(variable: Any) -> str:
    name: str = variable.name.removesuffix(":0")
    return name if name.startswith("moat/") else STEM + name


def frozen_graph(network: Any, hw: tuple[int, int]) -> Any:
    whole = tf.function(lambda x: network(x, training=False))
    return convert_variables_to_constants_v2(whole.get_concrete_function(tf.TensorSpec((1, *hw, 3)))).graph


def multiply_accumulates(graph: Any) -> dict[str, int]:
    """Return the multiply-accumulates by kind of operator."""
    found: dict[str, int] = {}
    for node in graph.as_graph_def().node:
        operation = graph.get_operation_by_name(node.name)
        if node.op in ("Conv2D", "DepthwiseConv2dNative"):
            kernel, out = operation.inputs[1].shape, operation.outputs[0].shape
            channels = kernel[2] if node.op == "Conv2D" else 1
            count = math.prod(out) * kernel[0] * kernel[1] * channels
        elif node.op == "Einsum":
            left, right = node.attr["equation"].s.decode().split("->")[0].split(",")
            sizes = dict(zip(left, operation.inputs[0].shape, strict=True))
            sizes |= dict(zip(right, operation.inputs[1].shape, strict=True))
            count = math.prod(sizes.values())
        else:
            continue
        found[node.op] = found.get(node.op, 0) + int(count)
    return found


def profiled(graph: Any) -> int:
    """Return half of what TensorFlow's profiler counts: additions, pools and norms too, but no einsum."""
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops // 2)


def answers(hw: tuple[int, int], *, positions: bool) -> dict[str, Any]:
    """Return mean, spread and some values of tiny-MOAT-0's features at stride 4 to 32 for a picture of waves.

    In a graph, for position embeddings are resized where the network is built, before any weights come.
    """
    moat_attention.LOOKUP_TENSOR_CACHE.clear()  # it would hold tensors of another graph
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        network = build(0, hw, positions=positions, classes=None)
        features = network(tf.constant(waves(1, *hw, 3)), training=False)
        places = [(variable, tf.compat.v1.placeholder(tf.float32, variable.shape)) for variable in network.variables]
        filled = [variable.assign(place) for variable, place in places]
        arrays = {place: values(checkpoint_name(v), tuple(v.shape)) for v, place in places}
        session.run(filled, arrays)
        found = session.run({f"stage{i}": features[f"stage{i}"] for i in range(2, 6)})
    return {name: summary(np.moveaxis(array, 3, 1)) for name, array in found.items()}


def main() -> None:
    variables: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for number in range(4):
        for positions in (True, False):
            key = f"tiny-moat-{number}{'' if positions else '-no-positions'}"
            network = build(number, (256, 256), positions=positions, classes=1000)
            graph = frozen_graph(network, (256, 256))
            found[key] = {
                "parameters": int(sum(np.prod(v.shape) for v in network.trainable_variables)),
                "macs": multiply_accumulates(graph),
                "profiled": profiled(graph),
            }
            if positions:
                variables[key] = {checkpoint_name(v): list(v.shape) for v in network.variables}
    for positions in (True, False):
        key = f"tiny-moat-0{'' if positions else '-no-positions'}"
        found[key]["answers"] = {name: answers(hw, positions=positions) for name, hw in PICTURES.items()}
    golden = ROOT / "tests" / "golden"
    (golden / "moat_variables.json").write_text(json.dumps(variables, separators=(",", ":")) + "\n")
    (golden / "moat.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
