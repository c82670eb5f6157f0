"""Whatever arrives: the wire's own errors and no others, and no more memory than the limits allow."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_models import PLAIN, echo, same, segmenter

from edge.serve.datatypes import Datatype, array_dtype
from edge.serve.errors import AnswerError, RequestError
from edge.serve.limits import Limits
from edge.serve.metadata import ModelMetadata, TensorMetadata
from edge.serve.requests import encode_request, parse_request
from edge.serve.responses import encode_response, parse_response
from edge.serve.wire import Message, Tensor

LIMITS = Limits(body_bytes=4096, json_bytes=2048, elements=64)
MODELS = (segmenter(), echo("BYTES"), echo("BOOL", (-1,)), echo("BF16", (2, 3)), echo("FP16", ()))
# Python's lists of a JSON of 2048 bytes, each number an object, and the arrays made of them; measured 60 kB.
MOST_BYTES = LIMITS.body_bytes + 64 * LIMITS.json_bytes


def never_more(body: bytes, length: str | None, model: ModelMetadata) -> None:
    """Read a body as a request and as an answer; only the wire's errors may come out."""
    tracemalloc.start()
    try:
        request = parse_request(body, length, model, LIMITS)
        assert [tensor.name for tensor in request.inputs] == [spec.name for spec in model.inputs]
    except RequestError as error:
        assert str(error).isprintable()
    try:
        parse_response(body, length, model.outputs, LIMITS)
    except AnswerError as error:
        assert str(error).isprintable()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES


def valid() -> list[tuple[Message, ModelMetadata]]:
    pictures = encode_request([Tensor.of_pictures("image", [b"abc", b""])], id="1", timeout_us=5)
    image = encode_request([Tensor.of("image", np.ones((1, 3, 4, 4), np.float32))], outputs=["mask"])
    half = encode_request([Tensor.of("x", np.float16(1.5).reshape(()))], binary=False)
    truth = encode_request([Tensor.of("x", np.array([True, False, True]))])
    brain = encode_request([Tensor("x", "BF16", np.ones((2, 3), np.float32))])
    texts = np.array([[b"a", b"b"]], object)
    words = encode_request([Tensor.of("x", texts)], binary=False)
    request = parse_request(words.body, None, echo("BYTES"))
    answer = encode_response(request, [Tensor.of("y", texts)], model_name="echo")
    return [
        (pictures, MODELS[0]),
        (image, MODELS[0]),
        (half, MODELS[4]),
        (truth, MODELS[2]),
        (brain, MODELS[3]),
        (words, MODELS[1]),
        (answer, MODELS[1]),
    ]


VALID = valid()


@given(
    st.binary(max_size=600), st.none() | st.integers(-5, 5000).map(str) | st.text(max_size=5), st.sampled_from(MODELS)
)
def test_random_bytes(body: bytes, length: str | None, model: ModelMetadata) -> None:
    never_more(body, length, model)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=150)
@given(st.sampled_from(VALID), st.data())
def test_cut_and_mutated_messages(case: tuple[Message, ModelMetadata], data: st.DataObject) -> None:
    message, model = case
    body = bytearray(message.body)
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        body = body or bytearray(b" ")
    cut = bytes(body[: data.draw(st.integers(0, len(body)))]) if data.draw(st.booleans()) else bytes(body)
    length = message.json_bytes
    if length is not None and data.draw(st.booleans()):
        length += data.draw(st.integers(-20, 20))
    never_more(cut, None if length is None else str(length), model)


leaves: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["FP32", "x", "BYTES"])
)
nested = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner), max_leaves=8
)
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "image"]) | nested,
        "shape": st.lists(st.integers(-1, 5) | st.just(2**62), max_size=4) | nested,
        "datatype": st.sampled_from([*PLAIN, "BF16", "BYTES"]) | nested,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "side"]), st.integers(-1, 20)) | nested,
        "data": st.lists(st.integers(-2, 300)) | st.lists(st.booleans()) | st.lists(st.text(max_size=3)) | nested,
    },
)
documents = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, max_size=3) | nested},
    optional={
        "model_name": st.just("m") | nested,
        "outputs": st.lists(tensors, max_size=3) | nested,
        "parameters": st.dictionaries(st.sampled_from(["timeout", "priority", "binary_data_output"]), leaves) | nested,
        "id": st.text(max_size=3) | nested,
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=150)
@given(documents, st.binary(max_size=40), st.sampled_from(MODELS))
def test_documents_of_the_right_shape_and_wrong_values(document: Any, raw: bytes, model: ModelMetadata) -> None:
    head = json.dumps(document).encode()
    never_more(head + raw, str(len(head)), model)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[Datatype, np.ndarray[Any, Any]]:
    datatype = draw(st.sampled_from([*PLAIN, "BYTES"]))
    shape = tuple(draw(st.lists(st.integers(1, 4), max_size=4)))
    count = int(np.prod(shape))
    if datatype == "BYTES":
        array = np.empty(count, object)
        array[:] = [draw(st.binary(max_size=9)) for _ in range(count)]
        return datatype, array.reshape(shape)
    dtype = array_dtype(datatype)
    raw = draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
    bits = np.frombuffer(raw, np.uint8) & 1 if datatype == "BOOL" else np.frombuffer(raw, np.uint8)
    return datatype, bits.view(dtype).reshape(shape)


@given(
    st.lists(arrays(), min_size=1, max_size=4), st.text(max_size=20), st.none() | st.integers(1, 10**9), st.booleans()
)
def test_to_the_server_and_back(
    given_arrays: list[tuple[Datatype, np.ndarray[Any, Any]]], id: str, timeout_us: int | None, binary: bool
) -> None:
    sent = [Tensor(f"t{number}", datatype, array) for number, (datatype, array) in enumerate(given_arrays)]
    declared = tuple(TensorMetadata(name=t.name, datatype=t.datatype, shape=t.array.shape) for t in sent)
    model = ModelMetadata(name="m", inputs=declared, outputs=declared)
    try:
        message = encode_request(sent, id=id, timeout_us=timeout_us, binary=binary)
    except RequestError:  # no JSON for NaN, and for bytes that are no text
        assert not binary
        return
    length = None if message.json_bytes is None else str(message.json_bytes)
    request = parse_request(message.body, length, model)
    assert (request.id, request.timeout_us) == (id, timeout_us)
    reply = encode_response(request, request.inputs, model_name="m", model_version="2")
    answer = parse_response(reply.body, None if reply.json_bytes is None else str(reply.json_bytes), declared)
    assert (answer.id, answer.model_version) == (id, "2")
    for tensor in sent:
        assert same(answer.outputs[tensor.name].array, tensor.array)
