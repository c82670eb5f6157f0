"""TensorFlow.js graph models: small files of every operator against PyTorch, cuts, quantised weights, damage."""

import base64
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from convert.importers.tfjs import import_tfjs
from edge.errors import ContractError, InputError

RNG = np.random.default_rng(7)


def text(value):
    return base64.b64encode(value.encode()).decode()


def node(name, op, *inputs, **attributes):
    return {"name": name, "op": op, "input": list(inputs), "attr": attributes}


def placeholder(name, *shape):
    sizes = {"dim": [{"size": str(size)} for size in shape]}
    return node(name, "Placeholder", shape={"shape": sizes}, dtype={"type": "DT_FLOAT"})


def convolution(name, op, *inputs, stride=1, dilation=1, padding="SAME", fused=()):
    return node(
        name, op, *inputs,
        strides={"list": {"i": ["1", str(stride), str(stride), "1"]}},
        dilations={"list": {"i": ["1", str(dilation), str(dilation), "1"]}},
        padding={"s": text(padding)},
        fused_ops={"list": {"s": [text(item) for item in fused]}},
    )  # fmt: skip


class Files:
    """Collect nodes and weights and write both files."""

    def __init__(self, folder):
        self.folder, self.nodes, self.specs, self.data = folder, [], [], b""

    def weight(self, name, array, stored=None, quantization=None):
        """Add a weight; `stored` is how it lies in the file where that differs."""
        self.nodes.append(node(name, "Const"))
        spec = {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        self.specs.append({**spec, **({"quantization": quantization} if quantization else {})})
        self.data += (array if stored is None else stored).tobytes()
        return name

    def write(self, outputs=()):
        """Write the files and return their paths."""
        stated = {
            "format": "graph-model",
            "signature": {"outputs": {name: {"name": name} for name in outputs}},
            "modelTopology": {"node": self.nodes},
            "weightsManifest": [{"paths": ["m.bin"], "weights": self.specs}],
        }
        topology, weights = self.folder / "m.json", self.folder / "m.bin"
        topology.write_text(json.dumps(stated))
        weights.write_bytes(self.data)
        return topology, weights


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def real(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def run(paths, *images, **cut):
    with torch.no_grad():
        return import_tfjs(*paths, **cut).module(*(torch.from_numpy(image) for image in images))


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize(
    ("stride", "dilation", "padding"), [(1, 1, "SAME"), (2, 1, "SAME"), (1, 2, "SAME"), (2, 1, "VALID")]
)
@pytest.mark.parametrize("fused", [(), ("BiasAdd",), ("BiasAdd", "Relu6"), ("BiasAdd", "Relu")])
def test_convolutions(files, size, stride, dilation, padding, fused):
    weight, bias = real(3, 3, 4, 6), real(6)
    biases = [files.weight("b", bias)] if fused else []
    files.nodes += [
        placeholder("x", 1, size, size, 4),
        convolution("y", "_FusedConv2D", "x", files.weight("w", weight), *biases, stride=stride, dilation=dilation,
                    padding=padding, fused=fused),
    ]  # fmt: skip
    image = real(1, 4, size, size)
    kernel, x = torch.from_numpy(weight).permute(3, 2, 0, 1), torch.from_numpy(image)
    if padding == "SAME":
        total = max((-(-size // stride) - 1) * stride + 2 * dilation + 1 - size, 0)
        before, after = total // 2, total - total // 2
        x = F.pad(x, (before, after, before, after))
    wanted = F.conv2d(x, kernel, torch.from_numpy(bias) if fused else None, stride, 0, dilation)
    wanted = {"Relu6": F.relu6, "Relu": F.relu}.get(fused[-1] if fused else "", lambda t: t)(wanted)
    torch.testing.assert_close(run(files.write(["y"]), image), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_convolutions(files, multiplier):
    weight = real(3, 3, 4, multiplier)
    op = "FusedDepthwiseConv2dNative" if multiplier > 1 else "DepthwiseConv2dNative"
    files.nodes += [placeholder("x", 1, 7, 7, 4), convolution("y", op, "x", files.weight("w", weight))]
    image = real(1, 4, 7, 7)
    kernel = torch.from_numpy(weight).permute(2, 3, 0, 1).reshape(4 * multiplier, 1, 3, 3)
    wanted = F.conv2d(torch.from_numpy(image), kernel, padding=1, groups=4)
    torch.testing.assert_close(run(files.write(["y"]), image), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("half", "aligned"), [(True, False), (False, True)])
def test_resizing(files, half, aligned):
    size = files.weight("size", np.array([10, 12], np.int32))
    flags = {"half_pixel_centers": {"b": half}, "align_corners": {"b": aligned}}
    files.nodes += [placeholder("x", 1, 5, 6, 2), node("y", "ResizeBilinear", "x", size, **flags)]
    image = real(1, 2, 5, 6)
    wanted = F.interpolate(torch.from_numpy(image), (10, 12), mode="bilinear", align_corners=aligned)
    torch.testing.assert_close(run(files.write(["y"]), image), wanted)


BINARY = {
    "Add": torch.add, "AddV2": torch.add, "BiasAdd": torch.add, "Sub": torch.sub, "Mul": torch.mul,
    "RealDiv": torch.div, "Maximum": torch.maximum, "Minimum": torch.minimum,
}  # fmt: skip
UNARY = {"Relu": F.relu, "Relu6": F.relu6, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Identity": torch.clone}


@pytest.mark.parametrize("op", sorted(BINARY))
def test_arithmetic_with_a_value_per_channel(files, op):
    values = real(3) + 3
    files.nodes += [placeholder("x", 1, 4, 4, 3), node("y", op, "x", files.weight("c", values))]
    image = real(1, 3, 4, 4)
    wanted = BINARY[op](torch.from_numpy(image), torch.from_numpy(values).reshape(3, 1, 1))
    torch.testing.assert_close(run(files.write(["y"]), image), wanted)


@pytest.mark.parametrize("op", sorted(UNARY))
def test_functions(files, op):
    files.nodes += [placeholder("x", 1, 4, 4, 3), node("z", op, "x"), node("y", "AddV2", "z", "x")]
    image = real(1, 3, 4, 4)
    x = torch.from_numpy(image)
    torch.testing.assert_close(run(files.write(["y:0"]), image), UNARY[op](x) + x)


def test_a_reshape_keeps_the_files_memory_order(files):
    shape = files.weight("shape", np.array([1, -1, 3], np.int32))
    files.nodes += [placeholder("x", 1, 4, 5, 3), node("y", "Reshape", "x", shape)]
    image = real(1, 3, 4, 5)
    wanted = torch.from_numpy(image).permute(0, 2, 3, 1).reshape(1, 20, 3)
    torch.testing.assert_close(run(files.write(["y"]), image), wanted)


def test_the_graph_is_taken_between_the_tensors_named(files):
    files.nodes += [
        placeholder("x", 1, -1, -1, 3), node("cast", "Cast", "x"), node("a", "Relu", "cast"), node("b", "Relu6", "a"),
        node("c", "Tanh", "a"), node("end", "ArgMax", "c"),
    ]  # fmt: skip
    paths, image = files.write(["end"]), real(1, 3, 4, 4)
    found = import_tfjs(*paths, inputs={"cast": (1, 4, 4, 3)}, outputs=("c", "b"))
    assert [spec.shape for spec in (*found.inputs, *found.outputs)] == [(1, 3, 4, 4)] * 3
    first, second = found.module(torch.from_numpy(image))
    torch.testing.assert_close(first, torch.tanh(F.relu(torch.from_numpy(image))))
    torch.testing.assert_close(second, F.relu6(torch.from_numpy(image)))
    with pytest.raises(InputError, match="no tensor 'nothing'"):
        import_tfjs(*paths, inputs={"cast": (1, 4, 4, 3)}, outputs=("nothing",))
    with pytest.raises(InputError, match=r"open shape \[1, -1, -1, 3\]"):
        import_tfjs(*paths)
    with pytest.raises(ContractError, match="ArgMax × 1"):
        import_tfjs(*paths, inputs={"cast": (1, 4, 4, 3)})


def test_half_precision_and_quantised_weights_become_float32(files):
    image, half = real(1, 2, 3, 3), RNG.normal(size=2).astype(np.float16)
    codes = np.array([3, 250], np.uint8)
    files.weight("h", half.astype(np.float32), half, {"dtype": "float16", "original_dtype": "float32"})
    files.weight("q", codes.astype(np.float32), codes, {"dtype": "uint8", "scale": 0.5, "min": -2.0})
    files.nodes += [placeholder("x", 1, 3, 3, 2), node("a", "Mul", "x", "h"), node("y", "AddV2", "a", "q")]
    scale = torch.from_numpy(half.astype(np.float32)).reshape(2, 1, 1)
    shift = torch.tensor([-0.5, 123.0]).reshape(2, 1, 1)
    torch.testing.assert_close(run(files.write(["y"]), image), torch.from_numpy(image) * scale + shift)


def test_everything_that_cannot_be_imported_is_named_at_once(files):
    weight = files.weight("w", real(3, 3, 2, 2))
    files.nodes += [
        placeholder("x", 1, 5, 5, 2), node("a", "TopKV2", "x"), node("b", "TopKV2", "a"),
        convolution("c", "_FusedConv2D", "x", weight, fused=("Elu",)), node("y", "AddV2", "b", "c"),
    ]  # fmt: skip
    with pytest.raises(ContractError, match=r"m\.json uses operators.*TopKV2 × 2"):
        import_tfjs(*files.write(["y"]))
    with pytest.raises(ContractError, match="_FusedConv2D with fused Elu × 1"):
        import_tfjs(*files.write(["c"]))
    files.nodes.append(convolution("d", "Conv2D", "x", "x"))
    with pytest.raises(ContractError, match="input 1 computed at run time"):
        import_tfjs(*files.write(["d"]))


def test_a_circle_and_a_missing_node_are_errors(files):
    files.nodes += [placeholder("x", 1, 2, 2, 1), node("a", "AddV2", "x", "b"), node("b", "Relu", "a")]
    with pytest.raises(InputError, match="needs its own result"):
        import_tfjs(*files.write(["b"]))
    files.nodes.append(node("c", "Relu", "gone"))
    with pytest.raises(InputError, match="no tensor 'gone'"):
        import_tfjs(*files.write(["c"]))


def small(folder):
    files = Files(folder)
    weight, bias = files.weight("w", real(3, 3, 2, 4)), files.weight("b", real(4))
    size = files.weight("s", np.array([4, 4], np.int32))
    files.nodes += [
        placeholder("x", 1, 4, 4, 2),
        convolution("a", "_FusedConv2D", "x", weight, bias, stride=2, fused=("BiasAdd", "Relu6")),
        node("y", "ResizeBilinear", "a", size, half_pixel_centers={"b": True}),
    ]
    return files.write(["y"])


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"null", b"PK\x03\x04", b'{"format": "layers-model"}', b"\xff\xfe"]
)
def test_other_files_are_input_errors(data, tmp_path):
    topology, weights = small(tmp_path)
    topology.write_bytes(data)
    with pytest.raises(InputError, match=r"m\.json"):
        import_tfjs(topology, weights)
    with pytest.raises(InputError, match="cannot read"):
        import_tfjs(tmp_path / "absent.json", weights)


@pytest.mark.parametrize("length", [0, 7, 100, 100_000])
def test_weights_of_another_length_are_an_input_error(length, tmp_path):
    topology, weights = small(tmp_path)
    weights.write_bytes(bytes(length))
    with pytest.raises(InputError, match="bytes"):
        import_tfjs(topology, weights)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_one_clear_error_or_harmless(tmp_path_factory, data):
    topology, weights = small(tmp_path_factory.mktemp("tfjs"))
    content = bytearray(topology.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(32, 126))
    topology.write_bytes(content)
    try:
        import_tfjs(topology, weights)
    except (InputError, ContractError) as error:
        assert "m.json" in str(error)
