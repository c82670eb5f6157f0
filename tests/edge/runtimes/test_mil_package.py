"""Reading and executing hand-made Core ML packages: no converter involved."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge.artifact import Artifact, FileEntry, Manifest, Needs, Source
from edge.contract import TensorSpec
from edge.errors import ContractError, EdgeError, InputError, TargetError, Unexecutable
from edge.runtimes._mil import Interpreter, read_package
from edge.runtimes._mil.proto import model_class
from edge.runtimes._mil.values import unpack_bits
from edge.runtimes.coreml import ReferenceSession

WEIGHT = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
SHAPES = {"image": (1, 3, 8, 8), "mask": (1, 4, 4, 4)}
CONTENT = Path("Data", "com.apple.CoreML")


def weight_file(data: bytes, code: int = 2) -> bytes:
    """Return a storage of one blob, laid out as the format says."""
    header = struct.pack("<II56x", 1, 2)
    return header + struct.pack("<IIQQQ32x", 0xDEADBEEF, code, len(data), 128, 0) + data


def tensor_type(kind: object, code: int, shape: tuple[int, ...]) -> None:
    kind.tensorType.dataType = code
    kind.tensorType.rank = len(shape)
    for size in shape:
        kind.tensorType.dimensions.add().constant.size = size


def make_package(
    path: Path, activation: str = "relu", stride: int = 2, declared: tuple[int, ...] = (1, 4, 4, 4)
) -> Path:
    """Write conv (weights in the blob file) → activation as a package."""
    model = model_class()(specificationVersion=7)
    for name, features in (("image", model.description.input), ("mask", model.description.output)):
        feature = features.add(name=name)
        feature.type.multiArrayType.dataType = 65568
        feature.type.multiArrayType.shape.extend(SHAPES[name])
    function = model.mlProgram.functions["main"]
    function.opset = "CoreML6"
    block = function.block_specializations["CoreML6"]
    tensor_type(function.inputs.add(name="image").type, 11, SHAPES["image"])
    weight = block.operations.add(type="const")
    tensor_type(weight.outputs.add(name="weight").type, 11, WEIGHT.shape)
    value = weight.attributes["val"]
    tensor_type(value.type, 11, WEIGHT.shape)
    value.blobFileValue.fileName, value.blobFileValue.offset = "@model_path/weights/weight.bin", 64
    conv = block.operations.add(type="conv")
    for key, name in (("x", "image"), ("weight", "weight")):
        conv.inputs[key].arguments.add(name=name)
    for key, code, values in (("strides", 23, [stride, stride]), ("pad", 23, [1, 1, 1, 1])):
        constant = conv.inputs[key].arguments.add().value
        tensor_type(constant.type, code, (len(values),))
        constant.immediateValue.tensor.ints.values.extend(values)
    text = conv.inputs["pad_type"].arguments.add().value
    tensor_type(text.type, 2, ())
    text.immediateValue.tensor.strings.values.append("custom")
    tensor_type(conv.outputs.add(name="features").type, 11, declared)
    last = block.operations.add(type=activation)
    last.inputs["x"].arguments.add(name="features")
    tensor_type(last.outputs.add(name="mask").type, 11, declared)
    block.outputs.append("mask")
    (path / CONTENT / "weights").mkdir(parents=True)
    (path / CONTENT / "model.mlmodel").write_bytes(model.SerializeToString())
    (path / CONTENT / "weights" / "weight.bin").write_bytes(weight_file(WEIGHT.tobytes()))
    entry = {"path": "com.apple.CoreML/model.mlmodel"}
    (path / "Manifest.json").write_text(json.dumps({"itemInfoEntries": {"a": entry}, "rootModelIdentifier": "a"}))
    return path


def execute(path: Path, image: torch.Tensor) -> torch.Tensor:
    package = read_package(path)
    return Interpreter(package.function, package.name).run({"image": image})["mask"]


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(SHAPES["image"], generator=torch.Generator().manual_seed(0))


def test_executes_what_is_in_the_package(tmp_path: Path, image: torch.Tensor) -> None:
    expected = F.relu(F.conv2d(image, torch.from_numpy(WEIGHT), stride=2, padding=1))
    torch.testing.assert_close(execute(make_package(tmp_path / "m.mlpackage"), image), expected)


def test_a_flipped_weight_changes_the_result(tmp_path: Path, image: torch.Tensor) -> None:
    path = make_package(tmp_path / "m.mlpackage")
    before = execute(path, image)
    weights = path / CONTENT / "weights" / "weight.bin"
    data = bytearray(weights.read_bytes())
    data[128 + 3] ^= 0x80  # the sign of the first weight
    weights.write_bytes(data)
    assert (execute(path, image) - before).abs().max() > 1e-2


def test_a_changed_attribute_is_caught_by_the_declared_type(tmp_path: Path, image: torch.Tensor) -> None:
    path = make_package(tmp_path / "m.mlpackage", stride=1)
    with pytest.raises(
        TargetError, match=r"conv features is float32\[1, 4, 8, 8\], the program declares fp32\[1, 4, 4, 4\]"
    ):
        execute(path, image)


def test_every_unsupported_operator_is_named(tmp_path: Path) -> None:
    package = read_package(make_package(tmp_path / "m.mlpackage", activation="lstm"))
    with pytest.raises(Unexecutable, match="lstm") as caught:
        Interpreter(package.function, package.name)
    assert caught.value.reasons == ("operator lstm (1×)",)


def _truncate(path: Path) -> None:
    weights = path / CONTENT / "weights" / "weight.bin"
    weights.write_bytes(weights.read_bytes()[:-4])


def _bad_sentinel(path: Path) -> None:
    weights = path / CONTENT / "weights" / "weight.bin"
    weights.write_bytes(weights.read_bytes()[:64] + b"\0\0\0\0" + weights.read_bytes()[68:])


def _escape(path: Path) -> None:
    entry = {"path": "../../etc/passwd"}
    (path / "Manifest.json").write_text(json.dumps({"itemInfoEntries": {"a": entry}, "rootModelIdentifier": "a"}))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated weights": _truncate,
    "bad sentinel": _bad_sentinel,
    "no weights": lambda path: (path / CONTENT / "weights" / "weight.bin").unlink(),
    "no model": lambda path: (path / CONTENT / "model.mlmodel").unlink(),
    "no manifest": lambda path: (path / "Manifest.json").unlink(),
    "manifest of another shape": lambda path: (path / "Manifest.json").write_text("[]"),
    "manifest that leaves the package": _escape,
    "empty model": lambda path: (path / CONTENT / "model.mlmodel").write_bytes(b""),
    "garbage": lambda path: (path / CONTENT / "model.mlmodel").write_bytes(b"\xff" * 64),
    "weights of 16 bits": lambda path: (path / CONTENT / "weights" / "weight.bin").write_bytes(
        weight_file(WEIGHT.astype(np.float16).tobytes(), code=1)
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_package_is_one_clear_error(damage: str, tmp_path: Path) -> None:
    path = make_package(tmp_path / "m.mlpackage")
    DAMAGE[damage](path)
    with pytest.raises(InputError, match="edge deploy"):
        read_package(path)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
@example([(91063, 10)], False)  # a line break in a name that the message tells
def test_flipped_bytes_never_escape_as_anything_else(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], in_weights: bool
) -> None:
    path = make_package(tmp_path_factory.mktemp("fuzz") / "m.mlpackage")
    file = path / CONTENT / ("weights/weight.bin" if in_weights else "model.mlmodel")
    data = bytearray(file.read_bytes())
    for position, value in changes:
        data[position % min(len(data), 2000)] = value
    file.write_bytes(data)
    try:
        package = read_package(path)
        interpreter = Interpreter(package.function, package.name)
        inputs = {item.name: torch.zeros(SHAPES["image"]) for item in package.function.inputs}
        interpreter.run(inputs)
    except EdgeError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message


def test_a_weights_path_with_a_line_break_is_one_clear_line(tmp_path: Path) -> None:
    path = make_package(tmp_path / "m.mlpackage")
    file = path / CONTENT / "model.mlmodel"
    assert b"/weights/weight.bin" in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(b"/weights/weight.bin", b"/weights/weig\nt.bin"))
    with pytest.raises(InputError, match=r"weig\\nt\.bin' has characters"):
        read_package(path)


def test_an_argument_without_a_value_is_refused(tmp_path: Path) -> None:
    path = make_package(tmp_path / "m.mlpackage")
    file = path / CONTENT / "model.mlmodel"
    model = model_class()()
    model.ParseFromString(file.read_bytes())
    block = model.mlProgram.functions["main"].block_specializations["CoreML6"]
    conv = next(operation for operation in block.operations if operation.type == "conv")
    del conv.inputs["strides"].arguments[:]
    file.write_bytes(model.SerializeToString())
    package = read_package(path)
    with pytest.raises(TargetError, match="0 values for strides, expected one"):
        Interpreter(package.function, package.name).run({"image": torch.zeros(SHAPES["image"])})


@given(st.integers(1, 7), st.lists(st.integers(0, 127), max_size=40))
def test_packed_numbers_come_back(bits: int, numbers: list[int]) -> None:
    expected = [number % 2**bits for number in numbers]
    stream = sum(number << (bits * index) for index, number in enumerate(expected))
    packed = np.frombuffer(stream.to_bytes((len(numbers) * bits + 7) // 8, "little"), np.uint8)
    assert unpack_bits(packed, bits, len(numbers)).tolist() == expected


def make_artifact(root: Path) -> Artifact:
    make_package(root / "model.mlpackage")
    specs = {name: TensorSpec(name=name, shape=shape) for name, shape in SHAPES.items()}
    entry = FileEntry(name="model.mlpackage/Manifest.json", bytes=0, sha256="")
    manifest = Manifest(
        model="tiny", task="tensors", target="coreml", precision="fp32", files=(entry,), inputs=(specs["image"],),
        outputs=(specs["mask"],), steps=(), source=Source(sha256=""), needs=Needs(min_runtime="iOS 16"),
    )  # fmt: skip
    return Artifact(root, manifest)


def test_session_checks_its_inputs(tmp_path: Path) -> None:
    session = ReferenceSession(make_artifact(tmp_path))
    assert session.mode == "reference"
    good = np.zeros(SHAPES["image"], np.float32)
    assert session.run({"image": good})["mask"].dtype == np.float32
    for bad in ({}, {"image": good[0]}, {"image": good.astype(np.float64)}, {"image": good, "more": good}):
        with pytest.raises(ContractError, match="the artifact takes"):
            session.run(bad)
