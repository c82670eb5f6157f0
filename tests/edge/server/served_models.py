"""Tiny models to serve: an ONNX artifact that takes as long as a request says, and an eager one that takes pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge.artifact import Manifest, Needs, Source, list_files, write_manifest
from edge.contract import TensorSpec

SIDE = 192  # of the matrix that a round multiplies with itself
SPECS = (TensorSpec(name="x", shape=(1, 4)), TensorSpec(name="rounds", shape=(1,), dtype="int64"))


def write_work(folder: Path) -> Path:
    """Write an artifact that answers y = 2 x + 1 after `rounds` products of matrices, so a request sets its time."""
    import onnx
    from onnx import TensorProto, helper

    rotation = np.roll(np.eye(SIDE, dtype=np.float32), 1, axis=0)  # its powers stay what they are: zeros and ones
    body = helper.make_graph(
        [helper.make_node("MatMul", ["before", "rotation"], ["after"]), helper.make_node("Identity", ["go"], ["on"])],
        "round",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [SIDE, SIDE]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [SIDE, SIDE]),
        ],
    )
    constants = {
        "rotation": rotation,
        "two": np.float32([2]),
        "axes": np.int64([0]),
        "always": np.array(True),
        "none": np.float32([0]),
    }
    nodes = [
        helper.make_node("Squeeze", ["rounds", "axes"], ["count"]),
        helper.make_node("Loop", ["count", "always", "rotation"], ["turned"], body=body),
        helper.make_node("ReduceSum", ["turned"], ["ones"], keepdims=0),  # SIDE, whatever the rounds
        helper.make_node("ReduceSum", ["rotation"], ["also"], keepdims=0),
        helper.make_node("Div", ["ones", "also"], ["one"]),
        helper.make_node("Mul", ["x", "two"], ["doubled"]),
        helper.make_node("Add", ["doubled", "one"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "work",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("rounds", TensorProto.INT64, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    write_manifest(folder, _manifest(folder, SPECS, (TensorSpec(name="y", shape=(1, 4)),)))
    return folder


def _manifest(folder: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Manifest:
    return Manifest(
        model=folder.name,
        task="tensors",
        target="onnx-cpu",
        precision="fp32",
        files=list_files(folder),
        inputs=inputs,
        outputs=outputs,
        steps=(),
        source=Source(sha256="0" * 64),
        needs=Needs(min_runtime=""),
    )


def write_pictures(path: Path) -> Path:
    """Write an eager model of pictures (1, 3, 16, 16): the mean of each colour, (1, 3)."""
    import torch

    class Means(torch.nn.Module):
        def forward(self, image: Any) -> Any:
            return image.mean((2, 3))

    torch.export.save(torch.export.export(Means().eval(), (torch.zeros(1, 3, 16, 16),)), path)
    return path
