"""Conformance with an independent client: what tritonclient writes is read, and what is written it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException
from wire_models import PLAIN, echo, same, segmenter, values

from edge.contract import Contract, TensorSpec
from edge.serve.datatypes import Datatype
from edge.serve.errors import RequestError
from edge.serve.metadata import Live, ModelReady, ServerMetadata, declare, encode_document
from edge.serve.requests import InferRequest, encode_request, parse_request
from edge.serve.responses import encode_response, parse_response
from edge.serve.wire import Message, Tensor

generate: Callable[..., tuple[bytes, int | None]] = InferenceServerClient.generate_request_body


def asked(array: np.ndarray[Any, Any], datatype: str, name: str = "x", *, binary: bool = True) -> InferInput:
    return InferInput(name, list(array.shape), datatype).set_data_from_numpy(array, binary_data=binary)


def header(length: int | None) -> str | None:
    return None if length is None else str(length)


def answered(message: Message) -> Any:
    return InferenceServerClient.parse_response_body(message.body, header_length=message.json_bytes)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", [*PLAIN, "BYTES"])
def test_every_datatype_both_ways(datatype: Datatype, binary: bool) -> None:
    array = values(datatype)
    wanted = [InferRequestedOutput("y", binary_data=binary)]
    body, length = generate([asked(array, datatype, binary=binary)], wanted, request_id="7")
    assert (length is not None) == binary
    request = parse_request(body, header(length), echo(datatype))
    assert same(request.inputs[0].array, array)
    assert request.id == "7"
    message = encode_response(
        request, [Tensor("y", datatype, request.inputs[0].array)], model_name="echo", model_version="1"
    )
    result = answered(message)
    found = result.as_numpy("y")
    if datatype == "BYTES" and not binary:  # tritonclient leaves JSON's strings undecoded
        found = np.array([text.encode() for text in found.reshape(-1)], object).reshape(found.shape)
    assert same(found, array)
    assert (result.get_response()["model_name"], result.get_response()["id"]) == ("echo", "7")
    assert (message.json_bytes is not None) == binary


def test_bf16_is_widened_exactly() -> None:
    array = values("BF16")
    body, length = generate([asked(array, "BF16")])
    request = parse_request(body, header(length), echo("BF16"))
    assert same(request.inputs[0].array, array)
    result = answered(encode_response(request, [Tensor("y", "BF16", array)], model_name="echo"))
    assert same(result.as_numpy("y"), array)


def test_bf16_rounds_as_ml_dtypes_does() -> None:
    array = np.random.default_rng(0).integers(0, 2**32, 200_000, np.uint32).view(np.float32)
    array = array[~np.isnan(array)].reshape(1, -1)
    message = encode_request([Tensor("x", "BF16", array)])
    raw = message.body[message.json_bytes :]
    with np.errstate(over="ignore"):
        assert raw == array.astype(ml_dtypes.bfloat16).tobytes()


def test_infinities_and_nan_travel_as_binary_data() -> None:
    array = np.array([[np.inf, -np.inf, np.nan]], np.float32)
    body, length = generate([asked(array, "FP32")])
    request = parse_request(body, header(length), echo("FP32"))
    assert same(answered(encode_response(request, [Tensor.of("y", array)], model_name="echo")).as_numpy("y"), array)
    body, length = generate([asked(array, "FP32", binary=False)])
    with pytest.raises(RequestError, match="JSON is not the protocol's"):
        parse_request(body, header(length), echo("FP32"))


def test_without_outputs_all_come_as_binary_data() -> None:
    body, length = generate([asked(np.zeros((1, 3, 4, 4), np.float32), "FP32", "image")])
    request = parse_request(body, header(length), segmenter())
    assert [(output.name, output.binary) for output in request.outputs] == [("mask", True), ("score", True)]


def test_one_output_as_json_beside_a_binary_one() -> None:
    wanted = [InferRequestedOutput("score", binary_data=False), InferRequestedOutput("mask", binary_data=True)]
    body, length = generate([asked(np.zeros((2, 3, 4, 4), np.float32), "FP32", "image")], wanted)
    request = parse_request(body, header(length), segmenter())
    mask, score = np.ones((2, 1, 4, 4), np.float32), np.array([3, -4])
    message = encode_response(request, [Tensor.of("mask", mask), Tensor.of("score", score)], model_name="segmenter")
    result = answered(message)
    assert same(result.as_numpy("mask"), mask)
    assert same(result.as_numpy("score"), score)
    assert [output["name"] for output in result.get_response()["outputs"]] == ["score", "mask"]


def test_pictures_as_bytes() -> None:
    pictures = np.array([b"\xff\xd8\xff", b"\x89PNG"], object)
    body, length = generate([asked(pictures, "BYTES", "image")])
    request = parse_request(body, header(length), segmenter())
    assert request.inputs[0].datatype == "BYTES"
    assert request.inputs[0].array.tolist() == pictures.tolist()


def test_timeout_priority_and_parameters() -> None:
    body, length = generate([asked(values("FP32"), "FP32")], timeout=150_000, priority=1, parameters={"mine": "yes"})
    request = parse_request(body, header(length), echo("FP32"))
    assert (request.timeout_us, request.priority, dict(request.parameters)) == (150_000, 1, {"mine": "yes"})


def test_state_between_requests_is_refused() -> None:
    body, length = generate([asked(values("FP32"), "FP32")], sequence_id=3, sequence_start=True)
    with pytest.raises(RequestError, match="sequence_id is refused"):
        parse_request(body, header(length), echo("FP32"))


def test_shared_memory_and_classification_are_refused() -> None:
    shared = InferInput("x", [2, 3], "FP32").set_shared_memory("region", 24)
    body, length = generate([shared])
    with pytest.raises(RequestError, match="shared memory is not served"):
        parse_request(body, header(length), echo("FP32"))
    body, length = generate([asked(values("FP32"), "FP32")], [InferRequestedOutput("y", class_count=3)])
    with pytest.raises(RequestError, match="classification is not served"):
        parse_request(body, header(length), echo("FP32"))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", [*PLAIN, "BYTES"])
def test_the_request_is_what_tritonclient_writes(datatype: Datatype, binary: bool) -> None:
    """The client's JSON holds the same values, and the same bytes follow it."""
    array = values(datatype)
    ours = encode_request([Tensor("x", datatype, array)], outputs=["y"], id="7", timeout_us=9, binary=binary)
    theirs, length = generate([asked(array, datatype, binary=binary)], [InferRequestedOutput("y")], "7", timeout=9)
    assert ours.body[ours.json_bytes or len(ours.body) :] == theirs[length or len(theirs) :]
    mine, other = json.loads(ours.body[: ours.json_bytes]), json.loads(theirs[:length])
    assert mine["inputs"] == other["inputs"]
    assert (mine["id"], mine["parameters"]["timeout"]) == (other["id"], other["parameters"]["timeout"])


def test_metadata_says_what_tritonclient_asks() -> None:
    contract = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),),
        outputs=(TensorSpec(name="mask", shape=(1, 8, 8), dtype="uint8"),),
    )
    model = json.loads(encode_document(declare(contract, "m", version="3", platform="onnx-cpu", rows=True)))
    assert model == {
        "name": "m",
        "versions": ["3"],
        "platform": "onnx-cpu",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 8, 8], "parameters": {"pictures": True}}],
        "outputs": [{"name": "mask", "datatype": "UINT8", "shape": [-1, 8, 8]}],
    }
    server = json.loads(encode_document(ServerMetadata(version="0.1.0")))
    assert server["extensions"] == ["binary_tensor_data"]
    assert json.loads(encode_document(Live(True))) == {"live": True}
    assert json.loads(encode_document(ModelReady("m", False))) == {"name": "m", "ready": False}


def test_our_client_reads_what_tritonclient_would_be_sent() -> None:
    request = InferRequest(inputs=(), outputs=parse_request(*_plain(), echo("FP32")).outputs)
    message = encode_response(request, [Tensor.of("y", values("FP32"))], model_name="echo", parameters={"queue_ms": 1})
    answer = parse_response(message.body, header(message.json_bytes), echo("FP32").outputs)
    assert same(answer.outputs["y"].array, values("FP32"))
    assert answer.parameters == {"queue_ms": 1}


def test_tritonclient_refuses_what_is_refused_here() -> None:
    with pytest.raises(InferenceServerException, match="BF16"):
        asked(values("BF16"), "BF16", binary=False)
    with pytest.raises(RequestError, match="BF16 travels as binary data only"):
        encode_request([Tensor("x", "BF16", values("BF16"))], binary=False)


def _plain() -> tuple[bytes, str | None]:
    body, length = generate([asked(values("FP32"), "FP32")])
    return body, header(length)
