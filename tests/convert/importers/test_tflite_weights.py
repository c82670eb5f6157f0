"""Stored forms of weights and whole small graphs: sparse, quantised, half precision, patterns, constants."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tflite_operators import compare, conv
from tflite_files import Draft
from torch.nn import functional as F

from convert.importers.tflite import import_tflite
from convert.importers.tflite.constants import dequantize, expand
from convert.importers.tflite.names import Names, identifier, layer_name
from convert.importers.tflite.reader import Malformed
from convert.importers.tflite.records import Quantization, SparseLevel, Sparsity
from edge.errors import ContractError

RNG = np.random.default_rng(11)


def _uniform(*shape: int) -> Any:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def _functions(module: torch.nn.Module) -> list[Any]:
    return [node.target for node in module.graph.nodes if node.op in ("call_function", "call_method")]  # type: ignore[union-attr]


def test_half_precision_behind_dequantize(tmp_path: Path) -> None:
    draft = Draft()
    image, half = draft.tensor((1, 6, 6, 4)), draft.constant(_uniform(5, 3, 3, 4).astype(np.float16), "layer/Conv2D")
    weight, result = draft.tensor((5, 3, 3, 4)), draft.tensor()
    draft.add("DEQUANTIZE", [half], [weight])
    draft.add("CONV_2D", [image, weight, draft.constant(_uniform(5))], [result], **conv(0))
    path = draft.write(tmp_path / "half.tflite", [image], [result])
    module = compare(path, [_uniform(1, 6, 6, 4)])
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())


@pytest.mark.parametrize("channels", [1, 5])
def test_quantised_weights_become_real_ones(channels: int, tmp_path: Path) -> None:
    draft = Draft()
    image, result = draft.tensor((1, 6, 6, 4)), draft.tensor()
    stored = draft.constant(RNG.integers(-127, 128, (5, 3, 3, 4)).astype(np.int8))
    draft.quantize(stored, RNG.uniform(0.01, 0.1, channels).tolist(), [0] * channels)
    weight = draft.tensor((5, 3, 3, 4))
    draft.add("DEQUANTIZE", [stored], [weight])
    draft.add("CONV_2D", [image, weight, draft.constant(_uniform(5))], [result], **conv(0))
    compare(draft.write(tmp_path / "int8.tflite", [image], [result]), [_uniform(1, 6, 6, 4)])


def test_uint8_weights_with_zero_point(tmp_path: Path) -> None:
    draft = Draft()
    source, result, weight = draft.tensor((2, 6)), draft.tensor(), draft.tensor((4, 6))
    stored = draft.quantize(draft.constant(RNG.integers(0, 256, (4, 6)).astype(np.uint8)), [0.02], [131])
    draft.add("DEQUANTIZE", [stored], [weight])
    draft.add("FULLY_CONNECTED", [source, weight, -1], [result], table="FullyConnectedOptions")
    compare(draft.write(tmp_path / "uint8.tflite", [source], [result]), [_uniform(2, 6)])


def test_fully_quantised_graph_is_imported_in_real_numbers(tmp_path: Path) -> None:
    draft = Draft()
    image, result = draft.tensor((1, 6, 6, 4)), draft.tensor((1, 6, 6, 5))
    inner = draft.quantize(draft.tensor((1, 6, 6, 4), "int8"), [0.01], [3])
    outer = draft.quantize(draft.tensor((1, 6, 6, 5), "int8"), [0.1], [-2])
    weight = draft.constant(RNG.integers(-127, 128, (5, 3, 3, 4)).astype(np.int8))
    bias = draft.constant(RNG.integers(-900, 900, 5).astype(np.int32))
    scales = RNG.uniform(0.005, 0.02, 5)
    draft.quantize(weight, scales.tolist(), [0] * 5)
    draft.quantize(bias, (scales * 0.01).tolist(), [0] * 5)
    draft.add("QUANTIZE", [image], [inner])
    draft.add("CONV_2D", [inner, weight, bias], [outer], **conv(0))
    draft.add("DEQUANTIZE", [outer], [result])
    path = draft.write(tmp_path / "int8.tflite", [image], [result])
    compare(path, [_uniform(1, 6, 6, 4)], atol=0.05)  # half a step of the file's output, and its rounding before


def _level(stored: SparseLevel) -> Any:
    level = schema.DimensionMetadataT()
    if stored.segments is None or stored.indices is None:
        level.format, level.denseSize = schema.DimensionType.DENSE, stored.size
        return level
    level.format = schema.DimensionType.SPARSE_CSR
    level.arraySegmentsType = level.arrayIndicesType = schema.SparseIndexVector.Uint8Vector
    level.arraySegments, level.arrayIndices = schema.Uint8VectorT(), schema.Uint8VectorT()
    level.arraySegments.values = stored.segments.astype(np.uint8)
    level.arrayIndices.values = stored.indices.astype(np.uint8)
    return level


def _compress(dense: Any, order: tuple[int, ...], compressed: set[int], block: dict[int, int]) -> tuple[Any, Sparsity]:
    """Store `dense` as a tree over `order`: an independent encoder, entry by entry, to decode against."""
    rank, block_map = dense.ndim, tuple(block)
    sizes = [size // block.get(axis, 1) for axis, size in enumerate(dense.shape)] + [block[axis] for axis in block_map]
    blocked = dense.reshape(
        [part for axis, size in enumerate(dense.shape) for part in (size // block.get(axis, 1), block.get(axis, 1))]
    )
    outer = [2 * axis for axis in range(rank)]
    inner = [2 * axis + 1 for axis in block_map]
    rest = [2 * axis + 1 for axis in range(rank) if axis not in block]
    tree = blocked.transpose([(outer + inner)[axis] for axis in order] + rest).reshape([sizes[axis] for axis in order])
    levels, prefixes = [], [()]
    for place, axis in enumerate(order):
        if axis not in compressed:
            levels.append(SparseLevel(sizes[axis]))
            prefixes = [(*prefix, i) for prefix in prefixes for i in range(sizes[axis])]
            continue
        kept = [[i for i in range(tree.shape[place]) if np.any(tree[(*prefix, i)])] for prefix in prefixes]
        segments = np.cumsum([0, *map(len, kept)])
        levels.append(SparseLevel(0, segments, np.array([i for row in kept for i in row], np.int64)))
        prefixes = [(*prefix, i) for prefix, row in zip(prefixes, kept, strict=True) for i in row]
    values = np.array([tree[prefix] for prefix in prefixes], dense.dtype)
    return values, Sparsity(order, block_map, tuple(levels))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_sparse_tensors_of_every_form_decode(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 4))
    block = {axis: data.draw(st.integers(1, 3)) for axis in range(rank) if data.draw(st.booleans())}
    shape = tuple(data.draw(st.integers(1, 4)) * block.get(axis, 1) for axis in range(rank))
    seed = data.draw(st.integers(0, 99))
    generator = np.random.default_rng(seed)
    dense = (generator.normal(size=shape) * (generator.random(shape) < 0.3)).astype(np.float32)
    order = (*data.draw(st.permutations(range(rank))), *range(rank, rank + len(block)))
    compressed = {axis for axis in range(rank) if data.draw(st.booleans())}
    values, sparsity = _compress(dense, order, compressed, block)
    np.testing.assert_array_equal(expand(values, shape, sparsity), dense)


@pytest.mark.parametrize("block", [{}, {0: 4}], ids=["csr", "4x1 blocks"])
def test_sparse_weights_behind_densify(block: dict[int, int], tmp_path: Path) -> None:
    dense = _uniform(8, 6) * (RNG.random((8, 6)) < 0.4).astype(np.float32)
    values, sparsity = _compress(dense, (0, 1, *([2] if block else [])), {1}, block)
    draft = Draft()
    source, result, weight = draft.tensor((2, 6)), draft.tensor(), draft.tensor((8, 6), name="scope/dense/MatMul")
    stored = draft.constant(values, "scope/dense/MatMul_sparse", shape=(8, 6))
    parameters = schema.SparsityParametersT()
    parameters.traversalOrder, parameters.blockMap = list(sparsity.traversal), list(sparsity.block_map)
    parameters.dimMetadata = [_level(level) for level in sparsity.levels]
    draft.graph.tensors[stored].sparsity = parameters
    draft.add("DENSIFY", [stored], [weight])
    draft.add("FULLY_CONNECTED", [source, weight, -1], [result], table="FullyConnectedOptions")
    module = compare(draft.write(tmp_path / "sparse.tflite", [source], [result]), [_uniform(2, 6)])
    np.testing.assert_array_equal(module.get_parameter("dense.weight").detach().numpy(), dense)


@pytest.mark.parametrize(
    "sparsity",
    [
        Sparsity((0, 0), (), (SparseLevel(2), SparseLevel(2))),
        Sparsity((0, 1), (), (SparseLevel(2), SparseLevel(1 << 40))),
        Sparsity((0, 1), (), (SparseLevel(2), SparseLevel(0, np.array([0, 1, 2]), np.array([0, 9])))),
        Sparsity((0, 1), (), (SparseLevel(2), SparseLevel(0, np.array([0, 2, 1]), np.array([0])))),
        Sparsity((0, 1, 2), (7,), (SparseLevel(2), SparseLevel(2), SparseLevel(1))),
        Sparsity((0, 1), (), (SparseLevel(2), SparseLevel(0, np.array([], np.int64), np.array([0])))),
    ],
)
def test_contradicting_sparsity_is_malformed(sparsity: Sparsity) -> None:
    with pytest.raises(Malformed):
        expand(np.ones(2, np.float32), (2, 2), sparsity)


def test_scales_that_do_not_fit_are_malformed() -> None:
    with pytest.raises(Malformed, match="3 scales"):
        dequantize(np.zeros((2, 2), np.int8), Quantization(np.ones(3, np.float32), np.zeros(3, np.int64), 0))


GROUPINGS = ["(x·gate)/6", "(x·gate)·sixth", "x·(gate·sixth)", "(x·sixth)·gate", "gate alone"]


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("fused", [True, False])
def test_spelled_out_hard_swish_becomes_one_function(grouping: str, fused: bool, tmp_path: Path) -> None:
    draft = Draft()
    source, result = draft.tensor((1, 4, 5, 3)), draft.tensor()
    three, six = draft.constant(np.full(1, 3, np.float32)), draft.constant(np.full(1, 6, np.float32))
    sixth = draft.constant(np.full(1, 1 / 6, np.float32))
    gate, shifted, middle = draft.tensor(), draft.tensor(), draft.tensor()
    draft.add(
        "ADD", [source, three], [gate if fused else shifted], table="AddOptions", fusedActivationFunction=3 * fused
    )
    if not fused:
        draft.add("RELU6", [shifted], [gate])
    if grouping == "(x·gate)/6":
        draft.add("MUL", [source, gate], [middle], table="MulOptions")
        draft.add("DIV", [middle, six], [result], table="DivOptions")
    elif grouping == "gate alone":
        draft.graph.tensors.pop(middle)
        draft.add("MUL", [gate, sixth], [result], table="MulOptions")
    else:
        first, second = {
            "(x·gate)·sixth": ([source, gate], [middle, sixth]),
            "x·(gate·sixth)": ([gate, sixth], [source, middle]),
            "(x·sixth)·gate": ([source, sixth], [middle, gate]),
        }[grouping]
        draft.add("MUL", first, [middle], table="MulOptions")
        draft.add("MUL", second, [result], table="MulOptions")
    path = draft.write(tmp_path / "swish.tflite", [source], [result])
    module = compare(path, [RNG.uniform(-5, 5, (1, 4, 5, 3)).astype(np.float32)])
    assert _functions(module) == [F.hardsigmoid if grouping == "gate alone" else F.hardswish]


def test_similar_products_are_not_taken_for_hard_swish(tmp_path: Path) -> None:
    draft = Draft()
    source, gate, middle, result = (draft.tensor((1, 4, 5, 3)) for _ in range(4))
    draft.add(
        "ADD",
        [source, draft.constant(np.full(1, 3, np.float32))],
        [gate],
        table="AddOptions",
        fusedActivationFunction=3,
    )
    draft.add("MUL", [source, gate], [middle], table="MulOptions")
    draft.add("MUL", [middle, draft.constant(np.full(1, 0.2, np.float32))], [result], table="MulOptions")
    module = compare(draft.write(tmp_path / "other.tflite", [source], [result]), [_uniform(1, 4, 5, 3)])
    assert F.hardswish not in _functions(module)


@pytest.mark.parametrize(("rows", "fused"), [((1, 1), True), ((0, 1), False)])
def test_symmetric_padding_moves_into_the_convolution(rows: tuple[int, int], fused: bool, tmp_path: Path) -> None:
    draft = Draft()
    image, padded, result = draft.tensor((1, 7, 7, 3)), draft.tensor(), draft.tensor()
    amounts = draft.constant(np.array([[0, 0], rows, rows, [0, 0]], np.int32))
    draft.add("PAD", [image, amounts], [padded], table="PadOptions")
    draft.add(
        "CONV_2D", [padded, draft.constant(_uniform(4, 3, 3, 3)), draft.constant(_uniform(4))], [result], **conv(1, 2)
    )
    module = compare(draft.write(tmp_path / "pad.tflite", [image], [result]), [_uniform(1, 7, 7, 3)])
    assert (F.pad not in _functions(module)) == fused


def test_images_flow_between_layers_without_permutes(tmp_path: Path) -> None:
    draft = Draft()
    image, first, second, total, flat = (draft.tensor() for _ in range(5))
    draft.graph.tensors[image].shape = [1, 6, 6, 3]
    draft.add("CONV_2D", [image, draft.constant(_uniform(4, 3, 3, 3)), draft.constant(_uniform(4))], [first], **conv(0))
    draft.add(
        "CONV_2D", [first, draft.constant(_uniform(4, 3, 3, 4)), draft.constant(_uniform(4))], [second], **conv(0)
    )
    draft.add("ADD", [first, second], [total], table="AddOptions")
    draft.add("RESHAPE", [total, draft.constant(np.array([1, 144], np.int32))], [flat], table="ReshapeOptions")
    path = draft.write(tmp_path / "flow.tflite", [image], [flat])
    module = compare(path, [_uniform(1, 6, 6, 3)])
    assert _functions(module) == [operator.add, torch.permute, torch.reshape]


def test_channels_first_files_keep_their_boundary(tmp_path: Path) -> None:
    draft = Draft()
    image, inside, made, result = (draft.tensor((1, 3, 6, 5)), draft.tensor(), draft.tensor(), draft.tensor())
    draft.add(
        "TRANSPOSE", [image, draft.constant(np.array([0, 2, 3, 1], np.int32))], [inside], table="TransposeOptions"
    )
    draft.add("CONV_2D", [inside, draft.constant(_uniform(4, 3, 3, 3)), draft.constant(_uniform(4))], [made], **conv(0))
    draft.add("TRANSPOSE", [made, draft.constant(np.array([0, 3, 1, 2], np.int32))], [result], table="TransposeOptions")
    path = draft.write(tmp_path / "first.tflite", [image], [result])
    imported = import_tflite(path)
    assert imported.inputs[0].shape == (1, 3, 6, 5)
    assert imported.outputs[0].shape == (1, 4, 6, 5)
    assert _functions(imported.module) == []


def test_constants_are_computed_at_import(tmp_path: Path) -> None:
    draft = Draft()
    source, shape, cut, table, result = (draft.tensor() for _ in range(5))
    draft.graph.tensors[source].shape = [2, 6]
    draft.graph.tensors[shape].type = schema.TensorType.INT32
    draft.graph.tensors[cut].type = schema.TensorType.INT32
    bounds = [draft.constant(np.array([i], np.int32)) for i in (1, 2, 1)]
    draft.add("SHAPE", [source], [shape], table="ShapeOptions", outType=2)
    draft.add("STRIDED_SLICE", [shape, *bounds], [cut], table="StridedSliceOptions")
    draft.add("MUL", [draft.constant(_uniform(2, 6)), draft.constant(_uniform(6))], [table], table="MulOptions")
    draft.add("ADD", [source, table], [result], table="AddOptions")
    path = draft.write(tmp_path / "fold.tflite", [source], [result])
    assert _functions(compare(path, [_uniform(2, 6)])) == [operator.add]


def test_every_unsupported_operator_is_named_and_counted(tmp_path: Path) -> None:
    draft = Draft()
    tensors = [draft.tensor((2, 2)) for _ in range(5)]
    draft.add("RFFT2D", tensors[:1], tensors[1:2])
    draft.add("RFFT2D", tensors[1:2], tensors[2:3])
    draft.add("CUSTOM:Landmarks", tensors[2:3], tensors[3:4])
    draft.add("RELU", tensors[3:4], tensors[4:5])
    path = draft.write(tmp_path / "odd.tflite", tensors[:1], tensors[4:], infer=False)
    with pytest.raises(ContractError, match=r"CUSTOM:Landmarks × 1, RFFT2D × 2;"):
        import_tflite(path)


def test_every_unsupported_use_is_named_and_counted(tmp_path: Path) -> None:
    draft = Draft()
    image, weight, first, second = (draft.tensor((1, 4, 4, 2)) for _ in range(4))
    draft.add("CONV_2D", [image, weight, -1], [first], **conv(0))
    draft.add("CONV_2D", [first, weight, -1], [second], **conv(0))
    path = draft.write(tmp_path / "odd.tflite", [image, weight], [second], infer=False)
    with pytest.raises(ContractError, match="CONV_2D with input 1 computed at run time × 1"):
        import_tflite(path)


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("model/conv2d_1/Conv2D_dequantize2", "model/conv2d_1"),
        ("bn_3/FusedBatchNormV3;conv2d_2/Conv2D", "conv2d_2"),
        ("block/Kernel_dequantize", "block"),
        ("", "value"),
    ],
)
def test_layer_names(tensor: str, layer: str) -> None:
    assert layer_name(tensor) == layer


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("aé/; 1_.", max_size=6) | st.sampled_from(["class", "type", "to"]), max_size=12))
def test_names_are_distinct_identifiers(names: list[str]) -> None:
    free = Names()
    found = [free.free(name) for name in names]
    assert len(set(found)) == len(found)
    assert all(name.isidentifier() and identifier(name).isidentifier() for name in found)
