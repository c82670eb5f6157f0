"""What a request or an answer is refused for, and what survives the way there and back."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from wire_models import echo, segmenter, values

from edge.serve.errors import AnswerError, Busy, RequestError, ServeError, TooLarge, encode_error, parse_error
from edge.serve.limits import Limits
from edge.serve.requests import InferRequest, RequestedOutput, encode_request, parse_request
from edge.serve.responses import encode_response, parse_response
from edge.serve.wire import HEADER, Tensor

IMAGE: dict[str, Any] = {"name": "image", "shape": [1, 3, 4, 4], "datatype": "FP32"}
RAW = bytes(192)


def sized(tensor: dict[str, Any], size: Any = 192) -> dict[str, Any]:
    return {**tensor, "parameters": {"binary_data_size": size}}


def parse(document: Any, raw: bytes = b"", *, limits: Limits | None = None, rows: int = -1) -> InferRequest:
    head = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_request(head + raw, str(len(head)), segmenter(rows), limits)


def ask(*inputs: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"inputs": list(inputs), **others}


REFUSED: list[tuple[Any, bytes, str]] = [
    (b"", b"", "JSON is not the protocol's"),
    (b"[]", b"", "Expected `object`"),
    (b'{"inputs":[]}', b"", "input 'image' is missing; model segmenter needs image"),
    (b'{"id":"\xff"}', b"", "JSON is not the protocol's"),
    (ask(sized(IMAGE), id="x" * 257), RAW, "JSON is not the protocol's"),
    (ask(sized(IMAGE), sized(IMAGE)), RAW * 2, "'image' is given twice"),
    (ask(sized({**IMAGE, "name": "picture"})), RAW, "has no input 'picture'; it has image"),
    (ask(sized({**IMAGE, "name": "a\nb\x1b"})), RAW, "no input 'a.b.'"),
    (ask(sized(IMAGE), sized({**IMAGE, "name": "more"})), RAW * 2, "no input 'more'"),
    (ask(sized({**IMAGE, "datatype": "FP33"})), RAW, "Invalid enum value"),
    (ask(sized({**IMAGE, "datatype": "INT32"})), RAW, "is INT32; the model takes FP32, or BYTES of encoded pictures"),
    (ask(sized({**IMAGE, "shape": [1, 4, 4, 3]})), RAW, r"has shape \[1, 4, 4, 3\]; the model takes \[-1, 3, 4, 4\]"),
    (ask(sized({**IMAGE, "shape": [0, 3, 4, 4]}, 0)), b"", r"shape \[0, 3, 4, 4\]"),
    (ask(sized({**IMAGE, "shape": [48]})), RAW, r"has shape \[48\]"),
    (ask(sized({**IMAGE, "shape": [-1, 3, 4, 4]})), RAW, "Expected `int` >= 0"),
    (ask(sized({**IMAGE, "shape": [1, 3, 4, 10**30]})), RAW, "JSON is not the protocol's"),
    (ask(sized({**IMAGE, "shape": [1, 3, 4, 4.5]})), RAW, "Expected `int`"),
    (ask(sized(IMAGE, 191)), RAW[:191], "is 192 bytes, binary_data_size is 191"),
    (ask(sized(IMAGE)), RAW[:191], "adds up to 192 bytes; 191 follow"),
    (ask(sized(IMAGE)), RAW + b"x", "adds up to 192 bytes; 193 follow"),
    (ask(sized(IMAGE, -192)), RAW, "-192 is no number of bytes"),
    (ask(sized(IMAGE, "192")), RAW, "192 is no number of bytes"),
    (ask(sized(IMAGE, True)), RAW, "True is no number of bytes"),
    (ask(sized(IMAGE, 192.0)), RAW, "192.0 is no number of bytes"),
    (ask(IMAGE), b"", "neither data nor binary_data_size"),
    (ask({**sized(IMAGE), "data": [0.0] * 48}), RAW, "both data and binary_data_size"),
    (ask({**IMAGE, "data": [0.0] * 47}), b"", "one list has 47 elements"),
    (ask({**IMAGE, "data": [["0"] * 48]}), b"", "no FP32 values"),
    (ask({**IMAGE, "data": [1e39] * 48}), b"", "outside FP32's range"),
    (ask({**IMAGE, "data": None}), b"", "no FP32 values"),
    (ask({**IMAGE, "data": {"a": 1}}), b"", "no FP32 values"),
    (ask({**IMAGE, "data": [[[[0.0] * 4] * 4] * 2]}), b"", "one list has 2 elements"),
    (ask({**IMAGE, "data": [float("nan")] * 48}), b"", "JSON is not the protocol's"),
    (ask(sized({**IMAGE, "datatype": "BYTES", "shape": [1]}, 6)), b"\4\0\0\0ab", "6 bytes are not 1 elements"),
    (ask(sized({**IMAGE, "datatype": "BYTES", "shape": [1]}, 9)), b"\4\0\0\0abcde", "9 bytes are not 1 elements"),
    (ask(sized({**IMAGE, "datatype": "BYTES", "shape": [1]}, 8)), b"\xff\xff\xff\xffabcd", "8 bytes are not 1"),
    (ask(sized({**IMAGE, "datatype": "BYTES", "shape": [2]}, 7)), bytes(7), "is at least 8 bytes"),
    (ask(sized({**IMAGE, "datatype": "BYTES", "shape": [1, 1]}, 4)), bytes(4), r"the model takes \[-1"),
    (ask(sized(IMAGE), outputs=[{"name": "edges"}]), RAW, "no output 'edges'; it has mask, score"),
    (ask(sized(IMAGE), outputs=[{"name": "mask"}] * 2), RAW, "'mask' is asked for twice"),
    (ask(sized(IMAGE), outputs=[{"name": "mask", "parameters": {"binary_data": 1}}]), RAW, "binary_data is 1"),
    (ask(sized(IMAGE), parameters={"timeout": -1}), RAW, "timeout is -1"),
    (ask(sized(IMAGE), parameters={"timeout": True}), RAW, "timeout is True"),
    (ask(sized(IMAGE), parameters={"priority": 2**40}), RAW, "whole number up to"),
    (ask(sized(IMAGE), parameters={"nested": {"a": []}}), RAW, "JSON is not the protocol's"),
]


@pytest.mark.parametrize(("document", "raw", "message"), REFUSED)
def test_refused_with_400(document: Any, raw: bytes, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        parse(document, raw)
    assert caught.value.status == 400
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b" " * (64 * 1024 + 1), "the JSON has 65537 bytes; at most 65536"),
        (ask(sized({**IMAGE, "shape": [2**40, 2**40, 2**40, 2**40]})), "above the limit of 8388608 bytes"),
        (ask(sized({**IMAGE, "shape": [1] * 9})), "9 axes; at most 8"),
        (ask(*(sized({**IMAGE, "name": str(n)}) for n in range(17))), "17 tensors; at most 16"),
        (ask(sized(IMAGE), outputs=[{"name": "mask"}] * 17), "17 outputs"),
        (ask(sized({**IMAGE, "datatype": "BYTES", "shape": [4097]})), "4097 elements of BYTES; at most 4096"),
    ],
)
def test_refused_with_413(document: Any, message: str) -> None:
    with pytest.raises(TooLarge, match=message):
        parse(document, RAW)


def test_a_body_above_its_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match="the body has"):
        parse(ask(sized(IMAGE)), RAW, limits=Limits(body_bytes=200))


@pytest.mark.parametrize("text", ["-1", "1_0", "+1", "0x1", "", " 1", "١", "9" * 16, "1e3"])
def test_header_lengths_that_are_no_numbers(text: str) -> None:
    with pytest.raises(RequestError, match=f"{HEADER} is"):
        parse_request(b"{}", text, segmenter())


def test_a_header_length_beyond_the_body() -> None:
    with pytest.raises(RequestError, match=f"{HEADER} is 3, the whole body has 2 bytes"):
        parse_request(b"{}", "3", segmenter())


@pytest.mark.parametrize("number", [b"9" * 5000, b"-" + b"9" * 5000, b"1e999", b"9" * 400 + b".5", b"9" * 40])
def test_long_numbers_are_no_bomb(number: bytes) -> None:
    head = b'{"inputs":[{"name":"image","shape":[1,3,4,4],"datatype":"FP32",'
    for body in (
        head + b'"parameters":{"binary_data_size":' + number + b"}}]}",
        head + b'"data":[' + b",".join([number] * 3) + b"]}]}",
        b'{"inputs":[],"parameters":{"timeout":' + number + b"}}",
        b'{"inputs":[{"name":"x","shape":[' + number + b'],"datatype":"FP32","data":[1]}]}',
    ):
        with pytest.raises(RequestError):
            parse_request(body, None, segmenter())


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"inputs":', b'{"inputs":[{"data":', b'{"parameters":{"a":'])
def test_depth_is_no_bomb(opening: bytes) -> None:
    body = opening + b"[" * (65536 - len(opening))
    with pytest.raises(RequestError):
        parse_request(body, None, segmenter())
    closed = b'{"inputs":[{"name":"image","shape":[1,3,4,4],"datatype":"FP32","data":' + b"[" * 30000 + b"]" * 30000
    with pytest.raises(RequestError):
        parse_request(closed + b"}]}", None, segmenter())
    unknown = b'{"inputs":[],"unknown":' + b"[" * 30000 + b"]" * 30000 + b"}"
    with pytest.raises(RequestError):
        parse_request(unknown, None, segmenter())


def test_rows_are_the_same_in_all_inputs_and_bounded() -> None:
    assert parse(ask(sized({**IMAGE, "shape": [2, 3, 4, 4]}, 384)), RAW * 2).inputs[0].array.shape == (2, 3, 4, 4)
    with pytest.raises(RequestError, match="-1 being 1 to 1"):
        parse(ask(sized({**IMAGE, "shape": [2, 3, 4, 4]}, 384)), RAW * 2, limits=Limits(rows=1))
    with pytest.raises(RequestError, match=r"the model takes \[1, 3, 4, 4\]"):
        parse(ask(sized({**IMAGE, "shape": [2, 3, 4, 4]}, 384)), RAW * 2, rows=1)
    two = echo("FP32")
    two = type(two)(
        name="two", inputs=(*two.inputs, type(two.inputs[0])(name="z", datatype="FP32", shape=(-1,))), outputs=()
    )
    message = encode_request([Tensor.of("x", np.zeros((2, 2), "f4")), Tensor.of("z", np.zeros(3, "f4"))])
    with pytest.raises(RequestError, match=r"first axes differ \(x 2, z 3\)"):
        parse_request(message.body, str(message.json_bytes), two)


def test_json_tensors_nested_or_flat() -> None:
    array = values("FP32", (1, 1))
    for data in ([float(array[0, 0])], [[float(array[0, 0])]]):
        body = json.dumps(ask({"name": "x", "shape": [1, 1], "datatype": "FP32", "data": data})).encode()
        assert parse_request(body, None, echo("FP32")).inputs[0].array.tolist() == array.tolist()


def test_tensors_are_views_of_the_body_and_never_shown() -> None:
    array = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    message = encode_request([Tensor.of("image", array)])
    body = bytearray(message.body)
    request = parse_request(body, str(message.json_bytes), segmenter())
    found = request.inputs[0].array
    assert np.shares_memory(found, np.frombuffer(body, np.uint8))
    assert found.flags.aligned
    assert "array" not in repr(request)
    assert "body" not in repr(message)


def test_unaligned_tensors_are_copied() -> None:
    head = json.dumps(ask(sized(IMAGE))).encode()
    head += b" " * (1 - len(head) % 4 + 4)
    request = parse_request(head + RAW, str(len(head)), segmenter())
    assert request.inputs[0].array.flags.aligned


def test_big_endian_and_strided_arrays_are_written_right() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4).T
    message = encode_request([Tensor.of("x", array)])
    assert message.body[message.json_bytes :] == array.astype("<f4").tobytes()


def test_a_bool_is_zero_or_one() -> None:
    head = json.dumps(ask({"name": "x", "shape": [1, 2], "datatype": "BOOL", "parameters": {"binary_data_size": 2}}))
    with pytest.raises(RequestError, match="BOOL is a byte of 0 or 1"):
        parse_request(head.encode() + b"\1\2", str(len(head)), echo("BOOL"))


def test_announced_sizes_take_no_memory() -> None:
    document = ask(sized({**IMAGE, "shape": [2**18, 3, 4, 4], "datatype": "UINT8"}, 48 * 2**18))
    tracemalloc.start()
    with pytest.raises(RequestError):
        parse(document, limits=Limits(body_bytes=1 << 30))
    with pytest.raises(RequestError):
        parse(ask({**IMAGE, "shape": [2**18, 3, 4, 4], "data": [1]}), limits=Limits(body_bytes=1 << 30))
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()


def test_an_output_that_the_model_did_not_give_is_the_servers_fault() -> None:
    request = InferRequest(inputs=(), outputs=(RequestedOutput("mask", True),))
    with pytest.raises(ServeError, match="gave no output 'mask'; it gave score") as caught:
        encode_response(request, [Tensor.of("score", np.zeros(1))], model_name="m")
    assert caught.value.status == 500


def test_values_that_json_has_not() -> None:
    with pytest.raises(RequestError, match="infinities or NaN"):
        encode_request([Tensor.of("x", np.array([np.nan]))], binary=False)
    with pytest.raises(RequestError, match="no UTF-8 text"):
        encode_request([Tensor.of_pictures("x", [b"\xff\xd8"])], binary=False)
    with pytest.raises(RequestError, match="complex128 is no datatype"):
        Tensor.of("x", np.array([1j]))
    with pytest.raises(RequestError, match="an array of float64 is not FP32"):
        encode_request([Tensor("x", "FP32", np.zeros(1))])


@pytest.mark.parametrize(
    ("body", "length", "message"),
    [
        (b"<html>", None, "cannot be read: the JSON"),
        (b'{"model_name":"m","outputs":[]}', None, "output 'mask' is missing; there is none"),
        (b'{"model_name":"m","outputs":[{"name":"mask","shape":[1],"datatype":"FP32","data":[1]}]}', None, "not FP32"),
        (b"{}", "9", f"{HEADER} is 9"),
    ],
)
def test_answers_are_checked_too(body: bytes, length: str | None, message: str) -> None:
    with pytest.raises(AnswerError, match=message) as caught:
        parse_response(body, length, segmenter().outputs)
    assert caught.value.status == 502


def test_errors_there_and_back() -> None:
    error = parse_error(413, encode_error(TooLarge("the body is above the limit")))
    assert type(error) is TooLarge
    assert str(error) == "the server answered 413: the body is above the limit"
    busy = parse_error(503, encode_error(Busy("the queue is full")), "7")
    assert isinstance(busy, Busy)
    assert busy.retry_after_s == 7
    assert getattr(parse_error(429, b"", "Wed, 21 Oct"), "retry_after_s", None) == 1
    assert type(parse_error(599, b'{"error":"a\\u001bb"}')) is ServeError
    assert str(parse_error(500, b'{"error":"a\\u001bb\\n"}')) == "the server answered 500: a?b?"
    assert str(parse_error(500, b"[" * 50_000)) == "the server answered 500: without a reason"
    assert len(str(parse_error(400, json.dumps({"error": "x" * 9999}).encode()))) < 400
