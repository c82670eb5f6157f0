"""The kernels as operators of ONNX Runtime: what the library computes, exactly, and what is refused."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from edge.errors import MissingError
from edge.runtimes.onnx_ternary import DOMAIN, register
from quant.kernels import TernaryKernel, quantize_rows, wrappers
from quant.ternary import TernaryTensor, pack

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of onnx

THREADS = (1, 2)
CONVOLUTIONS: tuple[dict[str, tuple[int, ...]], ...] = (
    {"kernel": (1, 1)},
    {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
    {"kernel": (3, 3), "strides": (2, 3), "pads": (0, 1, 2, 3)},
    {"kernel": (2, 3), "dilations": (3, 2), "pads": (1, 0, 2, 1)},
    {"kernel": (5, 1), "strides": (1, 2), "dilations": (1, 1)},
)


@pytest.fixture(scope="module", autouse=True)
def library():
    """The library, or a reason to skip."""
    try:
        return wrappers.onnxruntime_library()
    except MissingError as error:
        pytest.skip(str(error))


def tensor(*shape: int) -> TernaryTensor:
    rng = np.random.default_rng(shape)
    return TernaryTensor(rng.integers(-1, 2, shape).astype(np.int8), rng.uniform(0.1, 1, shape[0]).astype(np.float32))


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def session(
    kind: str, packed: bytes | np.ndarray, *, bias: np.ndarray | None = None, threads: int = 1,
    given: bool = False, kinds: Mapping[str, int] | None = None, **attributes: Any,
) -> Any:  # fmt: skip
    """Return a session of a model with one operator; `given` makes the packed bytes an input of the model."""
    from onnx import TensorProto, helper, numpy_helper

    types = {"x": TensorProto.FLOAT, "y": TensorProto.FLOAT, **(kinds or {})}
    held = packed if isinstance(packed, np.ndarray) else np.frombuffer(packed, np.uint8)
    constants = [] if given else [numpy_helper.from_array(held, "packed")]
    inputs = [helper.make_tensor_value_info("x", types["x"], None)]
    if given:
        inputs.append(helper.make_tensor_value_info("packed", TensorProto.UINT8, None))
    if bias is not None:
        constants.append(numpy_helper.from_array(bias, "bias"))
    names = ["x", "packed", *(["bias"] if bias is not None else [])]
    node = helper.make_node(kind, names, ["y"], name="node", domain=DOMAIN, **attributes)
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", types["y"], None)], constants)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    register(options)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def conv_session(packed: bytes, **facts: Any) -> Any:
    return session("TernaryConv2d", packed, **{"strides": (1, 1), "pads": (0,) * 4, "dilations": (1, 1), **facts})


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("layout", ["t2", "t5"])
@pytest.mark.parametrize("shape", [(1, 300), (2, 5, 300), (40, 300), (300,)])
def test_a_product_is_that_of_the_kernel_bit_for_bit(shape, layout, threads):
    packed, bias, values = pack(tensor(33, 300), layout), floats(33), floats(*shape)
    wanted = TernaryKernel(packed).matmul(*quantize_rows(values), bias)
    (found,) = session("TernaryLinear", packed, bias=bias, threads=threads).run(None, {"x": values})
    assert np.array_equal(found, wanted)


def test_a_weight_that_keeps_several_threads_busy():
    packed, values = pack(tensor(1024, 1030), "t5"), floats(2, 1030)
    wanted = TernaryKernel(packed).matmul(*quantize_rows(values))
    (found,) = session("TernaryLinear", packed, threads=2).run(None, {"x": values})
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("facts", CONVOLUTIONS, ids=str)
def test_a_convolution_is_that_of_the_kernel_bit_for_bit(facts, threads):
    sizes = {name: value for name, value in facts.items() if name != "kernel"}
    packed, bias = pack(tensor(19, 12, *facts["kernel"]), "t5"), floats(19)
    values = floats(2, 12, 9, 11) * np.array([1, 100], np.float32).reshape(2, 1, 1, 1)
    codes, scales = quantize_rows(values.reshape(2, -1))
    nhwc = np.moveaxis(codes.reshape(values.shape), 1, -1)
    wanted = TernaryKernel(packed).conv2d(
        nhwc, scales, bias,
        stride=sizes.get("strides", 1), padding=sizes.get("pads", 0), dilation=sizes.get("dilations", 1),
    )  # fmt: skip
    (found,) = conv_session(packed, bias=bias, threads=threads, **sizes).run(None, {"x": values})
    assert np.array_equal(found, np.moveaxis(wanted, -1, 1))


def test_a_session_is_used_by_several_threads_at_once():
    packed = pack(tensor(256, 640), "t5")
    opened, kernel = session("TernaryLinear", packed, threads=2), TernaryKernel(packed)
    inputs = [floats(rows, 640) for rows in (1, 2, 7, 30)] * 4
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda values: opened.run(None, {"x": values})[0], inputs))
    for values, result in zip(inputs, found, strict=True):
        assert np.array_equal(result, kernel.linear(values))


def test_nothing_in_is_nothing_out():
    (rows,) = session("TernaryLinear", pack(tensor(33, 30), "t5")).run(None, {"x": floats(0, 30)})
    assert rows.shape == (0, 33)
    (images,) = conv_session(pack(tensor(33, 4, 3, 3), "t5")).run(None, {"x": floats(0, 4, 5, 6)})
    assert images.shape == (0, 33, 3, 4)


def flipped(packed: bytes, at: int) -> bytes:
    changed = bytearray(packed)
    changed[at] ^= 1
    return bytes(changed)


GOOD, IMAGES = pack(tensor(33, 300), "t5"), pack(tensor(8, 4, 3, 3), "t5")


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (flipped(GOOD, 300), "the checksum is wrong: the packed tensor was damaged"),
        (flipped(GOOD, 0), "no packed ternary tensor"),
        (flipped(GOOD, 4), "version"),
        (GOOD[:50], "50 bytes are no packed ternary tensor"),
        (GOOD[:-1], "2235 bytes, 2236 by the header"),
        (b"", "the packed bytes are a null pointer"),
        (IMAGES, "a weight of 4 dimensions is no linear layer's"),
        (np.frombuffer(GOOD, np.uint8).reshape(1, -1), "2 dimensions; expected one"),
        (np.frombuffer(GOOD, np.int8), "int8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_packed_weight_that_is_none(packed, said):
    with pytest.raises(Exception, match=said):
        session("TernaryLinear", packed)


def test_packed_bytes_that_are_no_constant():
    with pytest.raises(Exception, match="the packed weight is not a constant of the model"):
        session("TernaryLinear", GOOD, given=True)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(
    ("values", "bias", "said"),
    [
        (floats(2, 299), None, "rows of 299 activations; the weight has 300 columns"),
        (np.float32(1.0), None, "rows of 0 activations; the weight has 300 columns"),
        (np.full((2, 300), np.nan, np.float32), None, "activation row 0 holds a value that is not finite"),
        (np.full((1, 300), np.inf, np.float32), None, "not finite"),
        (floats(1, 300), floats(32), "the bias has 1 dimensions and 32 values; expected one and 33"),
        (floats(1, 300), floats(1, 33), "the bias has 2 dimensions and 33 values; expected one and 33"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_product_with_what_does_not_fit(values, bias, said, threads):
    opened = session("TernaryLinear", GOOD, bias=bias, threads=threads)
    with pytest.raises(Exception, match=f"TernaryLinear.*{said}"):
        opened.run(None, {"x": np.asarray(values)})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (floats(1, 5, 9, 9), "the activations have 5 channels; the weight has 4"),
        (floats(1, 4, 2, 9), "height with its padding is 2, less than the 3 under the weight"),
        (floats(4, 9, 9), "activations of 3 dimensions; expected NCHW"),
        (np.full((1, 4, 9, 9), np.nan, np.float32), "not finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_convolution_with_what_does_not_fit(values, said):
    with pytest.raises(Exception, match=f"TernaryConv2d.*{said}"):
        conv_session(IMAGES).run(None, {"x": values})


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"strides": (1,)}, "attribute strides has 1 values; expected 2"),
        ({"pads": (1, 1)}, "attribute pads has 2 values; expected 4"),
        ({"dilations": (1, 1, 1)}, "attribute dilations has 3 values; expected 2"),
    ],
    ids=str,
)  # fmt: skip
def test_attributes_of_another_number(facts, said):
    with pytest.raises(Exception, match=said):
        conv_session(IMAGES, **facts)


@pytest.mark.parametrize("facts", [{"strides": (0, 1)}, {"pads": (0, -1, 0, 0)}, {"dilations": (1, 0)}], ids=str)
def test_attributes_that_no_convolution_has(facts):
    with pytest.raises(Exception, match="the convolution's (stride|padding|dilation) is"):
        conv_session(IMAGES, **facts).run(None, {"x": floats(1, 4, 9, 9)})


def test_a_convolution_without_its_attributes():
    with pytest.raises(Exception, match="there is no attribute strides of integers"):
        session("TernaryConv2d", IMAGES)


def test_a_product_is_no_convolution():
    with pytest.raises(Exception, match="a weight of 2 dimensions is no two-dimensional convolution's"):
        conv_session(GOOD)


def test_activations_of_another_type():
    with pytest.raises(Exception, match="float16"):
        session("TernaryLinear", GOOD, kinds={"x": 10})  # TensorProto.FLOAT16


def test_the_library_shows_its_entry_point_alone(library):
    loaded = ctypes.CDLL(str(library))
    assert loaded.RegisterCustomOps
    with pytest.raises(AttributeError):
        loaded.ternary_load  # noqa: B018


def test_a_runtime_that_is_too_old_is_told(library):
    """The functions of a runtime that knows version 1 of the interface only."""
    told: list[bytes] = []
    asked: list[int] = []

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
    def create_status(code: int, message: bytes) -> int:
        told.append(message)
        return 4711

    table = (ctypes.c_void_p * 276)(ctypes.cast(create_status, ctypes.c_void_p))

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)
    def get_api(version: int) -> int | None:
        asked.append(version)
        return ctypes.addressof(table) if version == 1 else None

    @ctypes.CFUNCTYPE(ctypes.c_void_p)
    def get_version() -> int:
        return ctypes.cast(text, ctypes.c_void_p).value or 0

    text = ctypes.c_char_p(b"1.16.3")
    base = (ctypes.c_void_p * 2)(*(ctypes.cast(entry, ctypes.c_void_p) for entry in (get_api, get_version)))
    entry = ctypes.CDLL(str(library)).RegisterCustomOps
    entry.restype, entry.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p)
    assert entry(None, base) == 4711
    assert asked == [17, 1]
    assert told == [b"the ternary operators need ONNX Runtime 1.17 or later; this is 1.16.3"]


def test_a_library_that_is_not_built(monkeypatch, tmp_path):
    monkeypatch.setattr(wrappers, "HERE", tmp_path)
    with pytest.raises(MissingError, match=r"no libternary_onnxruntime\.\w+; install a C\+\+ compiler.*pip install"):
        wrappers.onnxruntime_library()
