"""Every operator: a file with just it, run by LiteRT and by the import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tflite_files import Draft, run_litert, run_plain

from convert.importers.tflite import import_tflite
from convert.importers.tflite.operators import OPERATORS

Array = NDArray[Any]
RNG = np.random.default_rng(7)


class Feed(tuple[int, ...]):
    """The shape of an input that is fed at run time."""


def feed(*shape: int) -> Feed:
    return Feed(shape)


def const(*shape: int, low: float = -1.0, high: float = 1.0) -> Array:
    return RNG.uniform(low, high, shape).astype(np.float32)


def ints(*values: Any) -> Array:
    return np.array(values, np.int32)


IMAGE = feed(1, 7, 6, 8)
SAME, VALID = 0, 1


def conv(padding: int, stride: int = 1, dilation: int = 1, activation: int = 0) -> dict[str, Any]:
    return {
        "table": "Conv2DOptions", "padding": padding, "strideH": stride, "strideW": stride,
        "dilationHFactor": dilation, "dilationWFactor": dilation, "fusedActivationFunction": activation,
    }  # fmt: skip


def depthwise(padding: int, stride: int, multiplier: int) -> dict[str, Any]:
    options = conv(padding, stride, 1, 3)
    return {**options, "table": "DepthwiseConv2DOptions", "depthMultiplier": multiplier}


def transposed(padding: int, stride: int) -> dict[str, Any]:
    return {"table": "TransposeConvOptions", "padding": padding, "strideH": stride, "strideW": stride}


def pool(padding: int, size: int, stride: int) -> dict[str, Any]:
    return {
        "table": "Pool2DOptions", "padding": padding, "strideH": stride, "strideW": stride,
        "filterHeight": size, "filterWidth": size,
    }  # fmt: skip


def resize(kind: str, aligned: bool, half: bool) -> dict[str, Any]:
    return {"table": f"Resize{kind}Options", "alignCorners": aligned, "halfPixelCenters": half}


Case = tuple[str, list[Any], dict[str, Any]]
CASES: list[Case] = [
    ("CONV_2D", [IMAGE, const(5, 3, 3, 8), const(5)], conv(SAME)),
    ("CONV_2D", [IMAGE, const(5, 3, 3, 8), const(5)], conv(SAME, 2, activation=1)),
    ("CONV_2D", [IMAGE, const(5, 3, 2, 8), const(5)], conv(VALID, 2, activation=3)),
    ("CONV_2D", [IMAGE, const(5, 3, 3, 8), const(5)], conv(SAME, 1, dilation=2, activation=2)),
    ("CONV_2D", [IMAGE, const(6, 3, 3, 4), const(6)], conv(SAME)),  # two groups
    ("DEPTHWISE_CONV_2D", [IMAGE, const(1, 3, 3, 8), const(8)], depthwise(SAME, 2, 1)),
    ("DEPTHWISE_CONV_2D", [IMAGE, const(1, 5, 5, 16), const(16)], depthwise(SAME, 1, 2)),
    ("TRANSPOSE_CONV", [ints(1, 14, 12, 3), const(3, 2, 2, 8), IMAGE], transposed(SAME, 2)),
    ("TRANSPOSE_CONV", [ints(1, 14, 12, 3), const(3, 3, 3, 8), IMAGE, const(3)], transposed(SAME, 2)),
    ("TRANSPOSE_CONV", [ints(1, 15, 13, 3), const(3, 3, 3, 8), IMAGE], transposed(VALID, 2)),
    ("FULLY_CONNECTED", [feed(3, 6), const(4, 6), const(4)], {"table": "FullyConnectedOptions"}),
    ("FULLY_CONNECTED", [feed(1, 2, 2, 3), const(4, 12), const(4)], {"table": "FullyConnectedOptions"}),
    ("FULLY_CONNECTED", [feed(2, 3, 6), const(4, 6), -1], {"table": "FullyConnectedOptions", "keepNumDims": True}),
    ("BATCH_MATMUL", [feed(2, 3, 4), feed(2, 5, 4)], {"table": "BatchMatMulOptions", "adjY": True}),
    ("ADD", [IMAGE, IMAGE], {"table": "AddOptions", "fusedActivationFunction": 1}),
    ("ADD", [IMAGE, const(8)], {"table": "AddOptions"}),
    ("SUB", [np.float32(1.5).reshape(1), IMAGE], {"table": "SubOptions"}),
    ("MUL", [IMAGE, feed(1, 1, 1, 8)], {"table": "MulOptions"}),
    ("MUL", [IMAGE, const(7, 6, 1)], {"table": "MulOptions"}),
    ("DIV", [IMAGE, const(8, low=0.5)], {"table": "DivOptions"}),
    ("POW", [IMAGE, np.full(1, 2.0, np.float32)], {"table": "PowOptions"}),
    ("MAXIMUM", [IMAGE, const(8)], {"table": "MaximumMinimumOptions"}),
    ("MINIMUM", [IMAGE, np.full(1, 0.3, np.float32)], {"table": "MaximumMinimumOptions"}),
    ("SQUARED_DIFFERENCE", [IMAGE, IMAGE], {}),
    ("MAX_POOL_2D", [IMAGE], pool(SAME, 3, 2)),
    ("MAX_POOL_2D", [IMAGE], pool(VALID, 2, 2)),
    ("AVERAGE_POOL_2D", [IMAGE], pool(SAME, 3, 2)),
    ("AVERAGE_POOL_2D", [IMAGE], pool(SAME, 2, 1)),
    ("AVERAGE_POOL_2D", [feed(1, 6, 6, 8)], pool(VALID, 6, 6)),
    ("MEAN", [IMAGE, ints(1, 2)], {"table": "ReducerOptions", "keepDims": True}),
    ("MEAN", [IMAGE, ints(1, 2)], {"table": "ReducerOptions"}),
    ("MEAN", [IMAGE, ints(3)], {"table": "ReducerOptions"}),
    ("SUM", [IMAGE, ints(2)], {"table": "ReducerOptions"}),
    ("REDUCE_MAX", [IMAGE, ints(-1)], {"table": "ReducerOptions", "keepDims": True}),
    ("ARG_MAX", [IMAGE, ints(3)], {"table": "ArgMaxOptions", "outputType": 2}),
    ("RESHAPE", [IMAGE, ints(1, 42, 8)], {"table": "ReshapeOptions"}),
    ("RESHAPE", [feed(1, 1, 1, 8), ints(1, 8)], {"table": "ReshapeOptions"}),
    ("SQUEEZE", [feed(1, 4, 1, 8)], {"table": "SqueezeOptions", "squeezeDims": [0, 2]}),
    ("EXPAND_DIMS", [feed(4, 8), ints(1)], {"table": "ExpandDimsOptions"}),
    ("CONCATENATION", [IMAGE, IMAGE], {"table": "ConcatenationOptions", "axis": -1}),
    ("CONCATENATION", [feed(1, 3, 4), feed(1, 2, 4)], {"table": "ConcatenationOptions", "axis": 1}),
    ("SLICE", [IMAGE, ints(0, 1, 2, 3), ints(1, 4, -1, 2)], {"table": "SliceOptions"}),
    ("STRIDED_SLICE", [IMAGE, ints(0, 1, 0, 0), ints(1, 7, 6, 8), ints(1, 2, 1, 3)], {"table": "StridedSliceOptions"}),
    (
        "STRIDED_SLICE",
        [IMAGE, ints(0, -1, 0, 0), ints(0, 0, 0, 1), ints(1, -1, 1, 1)],
        {"table": "StridedSliceOptions", "beginMask": 2, "endMask": 6, "shrinkAxisMask": 9},
    ),
    ("PAD", [IMAGE, ints([0, 0], [1, 2], [0, 3], [0, 0])], {"table": "PadOptions"}),
    ("PADV2", [IMAGE, ints([0, 0], [1, 2], [0, 3], [2, 0]), np.full(1, 0.7, np.float32)], {"table": "PadV2Options"}),
    ("MIRROR_PAD", [IMAGE, ints([0, 0], [2, 1], [1, 0], [0, 0])], {"table": "MirrorPadOptions", "mode": 0}),
    ("MIRROR_PAD", [IMAGE, ints([0, 0], [2, 1], [1, 0], [0, 0])], {"table": "MirrorPadOptions", "mode": 1}),
    ("TRANSPOSE", [IMAGE, ints(0, 3, 1, 2)], {"table": "TransposeOptions"}),
    ("TRANSPOSE", [IMAGE, ints(0, 2, 1, 3)], {"table": "TransposeOptions"}),
    ("TRANSPOSE", [feed(2, 3, 4), ints(2, 0, 1)], {"table": "TransposeOptions"}),
    *[
        (f"RESIZE_{kind}", [IMAGE, ints(*size)], resize(table, aligned, half))
        for kind, table in (("BILINEAR", "Bilinear"), ("NEAREST_NEIGHBOR", "NearestNeighbor"))
        for aligned, half in ((False, False), (True, False), (False, True))
        for size in ((14, 12), (5, 11))
    ],
    ("SOFTMAX", [IMAGE], {"table": "SoftmaxOptions", "beta": 1.0}),
    ("SOFTMAX", [feed(3, 5)], {"table": "SoftmaxOptions", "beta": 2.0}),
    ("LOG_SOFTMAX", [feed(3, 5)], {"table": "LogSoftmaxOptions"}),
    ("L2_NORMALIZATION", [IMAGE], {"table": "L2NormOptions"}),
    *[
        (kind, [IMAGE], {})
        for kind in ("RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "ELU", "EXP", "NEG", "ABS")
    ],
    *[(kind, [IMAGE], {}) for kind in ("HARD_SWISH", "SQUARE", "FLOOR", "CEIL", "SIN", "COS", "ROUND")],
    ("LEAKY_RELU", [IMAGE], {"table": "LeakyReluOptions", "alpha": 0.1}),
    ("GELU", [IMAGE], {"table": "GeluOptions", "approximate": False}),
    ("PRELU", [IMAGE, const(1, 1, 8)], {}),
    ("PRELU", [IMAGE, const(7, 6, 8)], {}),
    ("DEPTH_TO_SPACE", [IMAGE], {"table": "DepthToSpaceOptions", "blockSize": 2}),
    ("SPACE_TO_DEPTH", [feed(1, 4, 6, 3)], {"table": "SpaceToDepthOptions", "blockSize": 2}),
    ("GATHER", [IMAGE, ints(3, 0, 3)], {"table": "GatherOptions", "axis": 3}),
    ("PACK", [feed(2, 3), feed(2, 3)], {"table": "PackOptions", "axis": 1, "valuesCount": 2}),
    ("TILE", [IMAGE, ints(1, 2, 1, 1)], {"table": "TileOptions"}),
    ("CAST", [IMAGE], {"table": "CastOptions", "inDataType": 0, "outDataType": 2}),
    ("ADD_N", [IMAGE, IMAGE, IMAGE], {"table": "AddNOptions"}),
]


def _image(array: Array) -> Array:
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


def compare(path: Path, fed: list[Array], atol: float = 2e-6) -> torch.nn.Module:
    """Check every output of the import against LiteRT's, in whichever order the import states."""
    expected = run_litert(run_plain(path), fed)
    imported = import_tflite(path)
    with torch.no_grad():
        found = imported.module(*(torch.from_numpy(np.ascontiguousarray(_image(array))) for array in fed))
    found = found if isinstance(found, tuple) else (found,)
    for spec, ours, theirs in zip(imported.outputs, found, expected, strict=True):
        theirs = _image(theirs) if spec.layout == "NCHW" else theirs
        assert spec.shape == tuple(ours.shape) == theirs.shape
        scale = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours.numpy() / scale, theirs / scale, rtol=0, atol=atol)
    return imported.module


def _fed(items: list[Any]) -> list[Array]:
    return [RNG.uniform(-3, 3, item).astype(np.float32) for item in items if isinstance(item, Feed)]


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)])
def test_operator_computes_what_litert_computes(case: Case, tmp_path: Path) -> None:
    kind, items, options = case
    draft, inputs, fed = Draft(), [], []
    for item in items:
        index = -1 if isinstance(item, int) else draft.tensor(item) if isinstance(item, Feed) else draft.constant(item)
        inputs.append(index)
        fed += [index] if isinstance(item, Feed) else []
    output = draft.tensor((), {"ARG_MAX": "int32", "CAST": "int32"}.get(kind, "float32"))
    draft.add(kind, inputs, [output], **options)
    path = draft.write(tmp_path / "one.tflite", fed, [output])
    compare(path, _fed(items))


@pytest.mark.parametrize("kind", ["SQRT", "RSQRT", "LOG"])
def test_functions_of_positive_numbers(kind: str, tmp_path: Path) -> None:
    draft = Draft()
    source, result = draft.tensor((1, 3, 4, 2)), draft.tensor()
    draft.add(kind, [source], [result])
    path = draft.write(tmp_path / "one.tflite", [source], [result])
    compare(path, [RNG.uniform(0.1, 9, (1, 3, 4, 2)).astype(np.float32)])


@pytest.mark.parametrize("kind", ["SPLIT", "SPLIT_V", "UNPACK"])
def test_operators_with_several_outputs(kind: str, tmp_path: Path) -> None:
    draft = Draft()
    source = draft.tensor((1, 4, 5, 6))
    outputs = [draft.tensor() for _ in range(3 if kind != "UNPACK" else 4)]
    if kind == "SPLIT":
        draft.add(kind, [draft.constant(ints(3).reshape(())), source], outputs, table="SplitOptions", numSplits=3)
    elif kind == "SPLIT_V":
        inputs = [source, draft.constant(ints(1, 2, 3)), draft.constant(ints(3).reshape(()))]
        draft.add(kind, inputs, outputs, table="SplitVOptions", numSplits=3)
    else:
        draft.add(kind, [source], outputs, table="UnpackOptions", axis=1, num=4)
    path = draft.write(tmp_path / "many.tflite", [source], outputs)
    compare(path, [RNG.normal(size=(1, 4, 5, 6)).astype(np.float32)])


def test_every_case_is_of_a_known_operator() -> None:
    assert {kind for kind, _, _ in CASES} <= set(OPERATORS)
