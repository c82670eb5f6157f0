"""A tiny real model: an ONNX graph that marks bright pixels, as an artifact, and the same in numpy for the server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact, Manifest, Needs, Source, list_files, write_manifest
from edge.client.policy import Policy
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.serve.call import Network

SIZE = 16
CONTRACT = Contract(
    inputs=(TensorSpec(name="image", shape=(1, 3, SIZE, SIZE), layout="NCHW"),),
    outputs=(TensorSpec(name="mask", shape=(1, 1, SIZE, SIZE), layout="NCHW"),),
    task="segmentation",
    preprocess=Preprocess(size=(SIZE, SIZE)),
    postprocess=Postprocess(decoder="probability"),
    labels=("bright",),
)
SHARPNESS = 8.0
WIFI = Network(online=True, metered=False)
EAGER = Policy(mode="prefer-server", data_class="may_upload")


def bright(image: NDArray[Any], sharpness: float = SHARPNESS) -> NDArray[np.float32]:
    """Return the probability (n, 1, H, W) that a pixel is bright."""
    mean = image.mean(axis=1, keepdims=True)
    return np.asarray(1 / (1 + np.exp(-sharpness * (mean - 0.5))), np.float32)


def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Do what the artifact does."""
    return {"mask": bright(inputs["image"])}


def make_artifact(root: Path) -> Artifact:
    """Write the graph and its manifest."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["mean", "half"], ["centred"]),
        helper.make_node("Mul", ["centred", "sharpness"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["mask"]),
    ]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, SIZE, SIZE])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
            helper.make_tensor("sharpness", TensorProto.FLOAT, [], [SHARPNESS]),
        ],
    )
    root.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, root / "model.onnx")
    manifest = Manifest(
        model="bright", task=CONTRACT.task, target="onnx-cpu", precision="fp32", files=list_files(root),
        inputs=CONTRACT.inputs, outputs=CONTRACT.outputs, steps=(), source=Source(sha256="ab" * 32),
        needs=Needs(min_runtime=""), preprocess=CONTRACT.preprocess, postprocess=CONTRACT.postprocess,
        labels=CONTRACT.labels,
    )  # fmt: skip
    return write_manifest(root, manifest)


def picture(seed: int = 0, size: int = 48) -> NDArray[np.uint8]:
    """Return a smooth picture, bright on one side."""
    y, x = np.mgrid[0:size, 0:size]
    plane = (x * 255 // size + 13 * seed + y) % 256
    return np.stack([plane, plane, 255 - plane // 4], axis=2).astype(np.uint8)


def wifi() -> Network:
    """Return a network that costs nothing."""
    return WIFI


class FakeClock:
    """Milliseconds that pass when told to."""

    def __init__(self) -> None:
        self.ms = 1_000.0

    def __call__(self) -> float:
        return self.ms

    def pass_ms(self, ms: float) -> None:
        """Let time pass."""
        self.ms += ms
