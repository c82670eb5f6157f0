"""Write apps/shared/golden/oip: requests byte for byte, answers that are taken and refused, metadata, and errors.

Python, Kotlin and Swift must all agree with them. Bodies are base64. `accept` is what edge.serve and edge.client say.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge.artifact import write_atomic
from edge.client.agree import check_contract, read_metadata
from edge.client.work import picture_tensor
from edge.contract import Contract, TensorSpec
from edge.errors import ContractError
from edge.serve.datatypes import array_dtype, to_raw
from edge.serve.errors import AnswerError, parse_error
from edge.serve.metadata import TensorMetadata, declare, encode_document
from edge.serve.requests import encode_request
from edge.serve.responses import parse_response
from edge.serve.wire import Tensor
from edge.tasks import Region

GOLDEN = Path(__file__).resolve().parent.parent / "apps" / "shared" / "golden" / "oip"
Case = dict[str, Any]
MASK = TensorMetadata(name="mask", datatype="FP32", shape=(-1, 1, 2, 2))
CODES = TensorMetadata(name="codes", datatype="INT64", shape=(1, 3))


def b64(data: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(data).decode()


def described(tensor: Tensor) -> Case:
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.array.shape),
        "raw": b64(to_raw(tensor.datatype, tensor.array)),
    }


def requests() -> Iterator[Case]:
    rng = np.random.default_rng(7)

    def case(name: str, tensors: Sequence[Tensor], **said: Any) -> Case:
        message = encode_request(tensors, **said)
        return {
            "name": name,
            "inputs": [described(tensor) for tensor in tensors],
            "body": b64(message.body),
            "json_bytes": message.json_bytes,
            **said,
        }

    image = Tensor.of("image", rng.random((1, 3, 4, 5), np.float32))
    yield case("image", [image])
    yield case("image/timeout", [image], timeout_us=199_000)
    yield case("image/everything", [image], outputs=["a", "b"], id="7f", timeout_us=1, priority=3)
    yield case("scalar", [Tensor.of("x", np.asarray(1.5, np.float32))])
    yield case("empty", [Tensor.of("x", np.zeros((0, 4), np.float32))])
    yield case("codes", [Tensor.of("codes", np.array([[0, -1, 2**62]], np.int64))], timeout_us=86_400_000_000)
    every = [
        Tensor.of(f"t{index}", np.array([1, 0, 1]).astype(array_dtype(datatype)))
        for index, datatype in enumerate(("BOOL", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "UINT64", "FP16", "FP64"))
    ]  # fmt: skip
    yield case("datatypes", every)
    yield case("special", [Tensor.of("x", np.array([np.inf, -np.inf, np.nan, -0.0, 1e-45], np.float32))])
    for name in ("é", 'q"\\', "tab\tand\x01", "日本語 😀", "a" * 256, "\u2028"):
        yield case(f"name/{name[:8]!r}", [Tensor.of(name, np.float32([1]))])
    for pad in range(16):
        yield case(f"padding/{pad}", [image], id="i" * (pad + 1))


def pictures() -> Iterator[Case]:
    picture = bytes(range(40))
    numbers = (0.0, 0.1, 1.0, 12.5, 1e-5, 1.5e-5, 1e-6, 1 / 3, 639.5, 1e15, 1e16, 123456789012345.6, -3.141592653589793,
               1e22, 5e-324, 1.7976931348623157e308, 2**-44, 100.0, 1e21, 9007199254740993.0, 0.30000000000000004)  # fmt: skip
    regions = [None, *(Region(value, -value, value, value) for value in numbers)]
    for region in regions:
        message = encode_request([picture_tensor("image", picture, region)], timeout_us=1_000_000)
        stated = None if region is None else [region.centre_x, region.centre_y, region.side, region.rotation]
        yield {"picture": b64(picture), "region": stated, "body": b64(message.body), "json_bytes": message.json_bytes}


def document(*outputs: Case, **more: Any) -> Case:
    return {"model_name": "m", "model_version": "3", "parameters": {}, "outputs": list(outputs), **more}


def output(name: str = "mask", shape: Any = (1, 1, 2, 2), datatype: Any = "FP32", **more: Any) -> Case:
    found: Case = {"name": name, "shape": shape, "datatype": datatype, **more}
    if "data" not in more and "parameters" not in more:
        found["parameters"] = {"binary_data_size": 16}
    return found


def body(head: Any, binary: bytes = b"", pad: int = 0) -> tuple[bytes, str]:
    text = head if isinstance(head, bytes) else json.dumps(head, separators=(",", ":")).encode()
    text += b" " * pad
    return text + binary, str(len(text))


FLOATS = struct.pack("<4f", 0.25, -1.0, 3.5, 1e-3)
Given = tuple[str, tuple[bytes, str | None], Sequence[TensorMetadata]]


def good() -> Iterator[Given]:
    yield "binary", body(document(output()), FLOATS, 3), [MASK]
    yield "batch", body(document(output(shape=[2, 1, 2, 2], parameters={"binary_data_size": 32})), FLOATS * 2), [MASK]
    yield "unexpected-too", body(document(output(), output("other")), FLOATS * 2), [MASK]
    yield "no-expectation", body(document(output()), FLOATS), []
    yield "empty-extra", body(document(output("e", [0, 2**40], parameters={"binary_data_size": 0}))), []
    yield "nothing", body(document()), []
    yield (
        "unknown-keys",
        body({**document({**output(), "more": [{"x": None}]}), "extra": {"a": [1, 2]}}, FLOATS),
        [MASK],
    )
    yield "least", body({"model_name": "m", "outputs": [output()]}, FLOATS), [MASK]
    said = {"total_ms": 1.5, "queue_ms": 0, "weights_sha256": "ab" * 32, "warm": True, "big": 2**70, "tiny": 1e-300}
    yield "parameters", body(document(output(), parameters=said, id="x" * 256), FLOATS), [MASK]
    json_mask = document(output(data=[0.25, -1, 3.5, 1e-3]))
    yield "json", (body(json_mask)[0], None), [MASK]
    yield "json/header", body(json_mask), [MASK]
    yield "json/nested", body(document(output(data=[[[[0.25, -1], [3.5, 1e-3]]]]))), [MASK]
    yield "json/white-space", body(json.dumps(json_mask, indent=3).encode() + b"\r\n\t "), [MASK]
    yield "json/and-binary", body(document(output("a", data=[1, 2, 3, 4]), output()), FLOATS), [MASK]
    yield "json/scalar", body(document(output("s", [], "INT32", data=[5]))), []
    yield "json/bytes", body(document(output("b", [2], "BYTES", data=["é", ""]))), []
    yield "json/bool", body(document(output("b", [2], "BOOL", data=[True, False]))), []
    yield "json/int64", body(document(output("codes", [1, 3], "INT64", data=[-(2**63), 0, 2**63 - 1]))), [CODES]
    yield "json/uint64", body(document(output("u", [2], "UINT64", data=[0, 2**64 - 1]))), []
    for name, low, high in (("INT8", -128, 127), ("UINT8", 0, 255), ("INT16", -(2**15), 2**15 - 1), ("UINT16", 0, 65535),
                            ("INT32", -(2**31), 2**31 - 1), ("UINT32", 0, 2**32 - 1)):  # fmt: skip
        yield f"json/{name}", body(document(output("i", [2], name, data=[low, high]))), []
    halves = [0.1, 65504, 65519.999, 5.96e-8, 2.98e-8, 6.1e-5, -0.0, 1 / 3, 2049, 2051, 1023.75, 6.103e-5, 0.99999]
    yield "json/fp16", body(document(output("h", [len(halves)], "FP16", data=halves))), []
    singles = [0.1, 3.4028235e38, 1e-45, 1e-46, 16777217, 1 / 3]
    yield "json/fp32", body(document(output("f", [len(singles)], "FP32", data=singles))), []
    yield "json/fp64", body(document(output("d", [2], "FP64", data=[1.7976931348623157e308, 5e-324]))), []
    codes = document(output("codes", [1, 3], "INT64", parameters={"binary_data_size": 24}))
    yield "codes", body(codes, struct.pack("<3q", 5, -1, 2**24)), [CODES]
    for name, code, values in (
        ("INT8", "b", (-128, 127)), ("UINT8", "B", (0, 255)), ("INT16", "h", (-5, 7)), ("UINT16", "H", (1, 65535)),
        ("INT32", "i", (-70000, 70000)), ("UINT32", "I", (0, 70000)), ("UINT64", "Q", (0, 9)), ("FP16", "e", (0.5, -2.0)),
        ("FP64", "d", (0.1, 1e9)), ("BOOL", "?", (True, False)),
    ):  # fmt: skip
        raw = struct.pack(f"<2{code}", *values)
        yield f"raw/{name}", body(document(output("r", [2], name, parameters={"binary_data_size": len(raw)})), raw), []
    bf16 = struct.pack("<3H", 0x3F80, 0xC049, 0x7F80)
    yield "raw/BF16", body(document(output("r", [3], "BF16", parameters={"binary_data_size": 6})), bf16), []
    strings = b"\x03\0\0\0abc\0\0\0\0"
    yield "raw/BYTES", body(document(output("r", [2], "BYTES", parameters={"binary_data_size": 11})), strings), []
    yield (
        "unaligned",
        body(document(output("r", [1], "INT8", parameters={"binary_data_size": 1}), output()), b"\1" + FLOATS),
        [MASK],
    )
    yield "special", body(document(output()), struct.pack("<4f", float("inf"), float("-inf"), -0.0, 1e-45)), [MASK]
    yield "escapes", body(b'{"model_name":"\\u00e9\\ud83d\\ude00\\n","outputs":[]}'), []
    sixteen = [output(f"o{n}", [0], parameters={"binary_data_size": 0}) for n in range(16)]
    yield "sixteen", body(document(*sixteen)), []


def changed(**changes: Any) -> Case:
    return {key: value for key, value in {**output(), **changes}.items() if value is not ...}


def bad() -> Iterator[Given]:
    whole, header = body(document(output()), FLOATS)
    for name, header_length in {
        "negative": "-1", "plus": "+5", "word": "ten", "empty": "", "point": "5.0", "space": " 5", "long": "1" * 16,
        "above": str(len(whole) + 1), "huge": "999999999999999", "arabic": "\u0661\u0662", "zero": "0", "short": "10",
        "one-more": str(int(header) + 1), "one-less": str(int(header) - 1),
    }.items():  # fmt: skip
        yield f"header/{name}", (whole, header_length), [MASK]
    yield "header/absent", (whole, None), [MASK]
    for name, text in {
        "empty": b"", "null": b"null", "list": b"[]", "number": b"5", "word": b"nul", "open": b'{"model_name":"m"',
        "comma": b'{"model_name":"m","outputs":[],}', "twice": b'{"model_name":"m","outputs":[]}{}',
        "control": b'{"model_name":"a\x01","outputs":[]}', "utf8": b'{"model_name":"\xff","outputs":[]}',
        "bom": b'\xef\xbb\xbf{"model_name":"m","outputs":[]}', "surrogate": b'{"model_name":"\\ud800","outputs":[]}',
        "nan": b'{"model_name":"m","parameters":{"a":NaN},"outputs":[]}', "quotes": b"{'model_name':'m','outputs':[]}",
        "escape": b'{"model_name":"\\x","outputs":[]}', "leading-zero": b'{"model_name":"m","parameters":{"a":01},"outputs":[]}',
        "html": b"<html>502 Bad Gateway</html>", "nested": b'{"model_name":"m","outputs":' + b"[" * 2000 + b"]" * 2000 + b"}",
    }.items():  # fmt: skip
        yield f"json/{name}", body(text), []
    for name, head in {
        "no-name": {"outputs": []}, "no-outputs": {"model_name": "m"}, "empty-name": {"model_name": "", "outputs": []},
        "long-name": {"model_name": "m" * 257, "outputs": []}, "number-name": {"model_name": 5, "outputs": []},
        "null-version": document(model_version=None), "number-version": document(model_version=3),
        "long-id": document(id="i" * 257), "null-id": document(id=None), "outputs-object": {**document(), "outputs": {}},
        "outputs-null": {**document(), "outputs": None}, "output-number": {**document(), "outputs": [5]},
        "parameters-null": document(parameters=None), "parameters-list": document(parameters=[]),
        "parameter-null": document(parameters={"a": None}), "parameter-list": document(parameters={"a": []}),
        "seventeen": document(*(output(f"o{n}", [0], parameters={"binary_data_size": 0}) for n in range(17))),
        "parameter-range": b'{"model_name":"m","parameters":{"a":1e400},"outputs":[]}',
        "too-long": b'{"model_name":"m","outputs":[]}' + b" " * (64 << 10),
    }.items():  # fmt: skip
        yield f"document/{name}", body(head), []
    for name, change in {
        "no-name": {"name": ...}, "empty-name": {"name": ""}, "no-shape": {"shape": ...}, "no-datatype": {"datatype": ...},
        "unknown-datatype": {"datatype": "FP8"}, "lower-case": {"datatype": "fp32"}, "null-datatype": {"datatype": None},
        "shape-word": {"shape": "1,1,2,2"}, "shape-float": {"shape": [1, 1, 2, 2.0]}, "shape-bool": {"shape": [1, 1, 2, True]},
        "shape-negative": {"shape": [1, 1, -2, -2]}, "shape-huge": {"shape": [2**40 + 1]}, "shape-null": {"shape": None},
        "overflow-32": {"shape": [2**16, 2**16 + 1]}, "overflow-64": {"shape": [2**32, 2**32]},
        "overflow-to-16": {"shape": [2**40, 2**22 + 0, 4]}, "overflow-zero": {"shape": [2**40] * 8},
        "nine-axes": {"shape": [1] * 9}, "above-limit": {"shape": [2_097_153]}, "size-less": {"parameters": {"binary_data_size": 15}},
        "size-more": {"parameters": {"binary_data_size": 17}}, "size-0": {"parameters": {"binary_data_size": 0}},
        "size-negative": {"parameters": {"binary_data_size": -16}}, "size-float": {"parameters": {"binary_data_size": 16.0}},
        "size-word": {"parameters": {"binary_data_size": "16"}}, "size-true": {"parameters": {"binary_data_size": True}},
        "size-2**64+16": {"parameters": {"binary_data_size": 2**64 + 16}}, "size-none": {"parameters": {}},
        "both": {"data": [1, 2, 3, 4]}, "shared-memory": {"parameters": {"binary_data_size": 16, "shared_memory_region": "r"}},
        "other-datatype": {"datatype": "INT32"}, "other-shape": {"shape": [1, 1, 4, 1]}, "other-rank": {"shape": [1, 4]},
        "half-shape": {"shape": [1, 1, 2, 1]}, "double-shape": {"shape": [1, 1, 2, 4]}, "other-name": {"name": "musk"},
        "datatype-bytes": {"datatype": "BYTES"}, "parameters-nested": {"parameters": {"binary_data_size": 16, "a": {}}},
    }.items():  # fmt: skip
        yield f"output/{name}", body(document(changed(**change)), FLOATS), [MASK]
    yield "binary/none", body(document(output())), [MASK]
    yield "binary/cut", body(document(output()), FLOATS[:-1]), [MASK]
    yield "binary/more", body(document(output()), FLOATS + b"\0"), [MASK]
    yield "binary/unclaimed", body(document(), FLOATS), []
    yield "binary/twice", body(document(output(), output()), FLOATS * 2), [MASK]
    yield "binary/second-missing", body(document(output(), output("other")), FLOATS), [MASK]
    yield "rows/0", body(document(output(shape=[0, 1, 2, 2], parameters={"binary_data_size": 0}))), [MASK]
    rows = document(output(shape=[65, 1, 2, 2], parameters={"binary_data_size": 16 * 65}))
    yield "rows/65", body(rows, FLOATS * 65), [MASK]
    yield "missing", body(document()), [MASK]
    yield "missing-one", body(document(output()), FLOATS), [MASK, CODES]
    for name, shape, datatype, data in (
        ("few", [4], "FP32", [1, 2, 3]), ("many", [2], "FP32", [1, 2, 3]), ("ragged", [2, 2], "FP32", [[1, 2], [3]]),
        ("deep", [2], "FP32", [[1, 2]]), ("mixed", [2], "FP32", [1, [2]]), ("word", [1], "FP32", ["1"]),
        ("null", [1], "FP32", [None]), ("object", [1], "FP32", {}), ("number", [1], "FP32", 5), ("bool", [1], "FP32", [True]),
        ("float-int", [1], "INT64", [1.0]), ("int-bool", [1], "BOOL", [1]), ("range-8", [1], "UINT8", [256]),
        ("range-minus", [1], "UINT64", [-1]), ("range-64", [1], "INT64", [2**63]), ("range-huge", [1], "INT64", [10**40]),
        ("range-half", [1], "FP16", [65520]), ("range-single", [1], "FP32", [3.5e38]), ("bf16", [1], "BF16", [1]),
        ("bytes-number", [1], "BYTES", [5]), ("data-null", [1], "FP32", None), ("lying", [2_000_000], "FP32", [1]),
        ("lying-bytes", [4097], "BYTES", ["a"]), ("empty", [1], "FP32", []), ("half-nested", [1, 2, 2], "FP32", [[1, 2], [3, 4]]),
    ):  # fmt: skip
        yield f"data/{name}", body(document(output("d", shape, datatype, data=data))), []
    yield (
        "data/surrogate",
        body(b'{"model_name":"m","outputs":[{"name":"d","shape":[1],"datatype":"BYTES","data":["\\ud800"]}]}'),
        [],
    )
    for name, raw in {
        "length-more": b"\xff\0\0\0ab", "length-huge": b"\xff\xff\xff\xffab", "length-cut": b"\1\0\0\0a\1\0", "rest": b"\1\0\0\0a\0\0\0\0x",
        "one": b"\2\0\0\0abcd"}.items():  # fmt: skip
        claimed = output("b", [2], "BYTES", parameters={"binary_data_size": len(raw)})
        yield f"bytes/{name}", body(document(claimed), raw), []
    claimed = output("b", [4097], "BYTES", parameters={"binary_data_size": 4 * 4097})
    yield "bytes/many", body(document(claimed), bytes(4 * 4097)), []
    yield "bool/2", body(document(output("b", [2], "BOOL", parameters={"binary_data_size": 2})), b"\1\2"), []
    yield "bool/255", body(document(output("b", [1], "BOOL", parameters={"binary_data_size": 1})), b"\xff"), []


def responses() -> Iterator[Case]:
    for wanted, cases in ((True, good()), (False, bad())):
        for name, (data, header), expected in cases:
            found: Case = {"name": name, "body": b64(data), "header": header}
            found["expected"] = msgspec.to_builtins(list(expected))
            try:
                answer = parse_response(data, header, expected)
            except AnswerError:
                accept = False
            else:
                accept = True
                found |= {"model_name": answer.model_name, "model_version": answer.model_version, "id": answer.id}
                found |= {
                    "parameters": dict(answer.parameters),
                    "outputs": [described(t) for t in answer.outputs.values()],
                }
            if accept is not wanted:
                raise ValueError(f"{name} was expected to be {'taken' if wanted else 'refused'}")
            yield {**found, "accept": accept}


def agreements() -> Iterator[Case]:
    def image(*shape: int, layout: Any = "NCHW", **more: Any) -> TensorSpec:
        return TensorSpec(name="image", shape=shape, layout=layout, **more)

    here = Contract(inputs=(image(1, 3, 8, 6),), outputs=(TensorSpec(name="mask", shape=(1, 2, 8, 6), layout="NCHW"),))
    last = Contract(
        inputs=(image(1, 8, 6, 3, layout="NHWC"),), outputs=(TensorSpec(name="mask", shape=(1, 8, 6, 2), layout="NHWC"),)
    )  # fmt: skip
    plain = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 8, 6)),), outputs=(TensorSpec(name="mask", shape=(1, 2, 8, 6)),)
    )
    two = Contract(inputs=(*here.inputs, TensorSpec(name="scale", shape=(1,), dtype="int64")), outputs=here.outputs)
    more = Contract(inputs=here.inputs, outputs=(*here.outputs, TensorSpec(name="score", shape=(1, 1))))
    grey = Contract(inputs=(image(1, 1, 8, 6),), outputs=here.outputs)
    half = Contract(inputs=(image(1, 3, 8, 6, dtype="float16"),), outputs=here.outputs)
    wide = Contract(inputs=(image(1, 3, 6, 8),), outputs=here.outputs)
    contracts = {
        "nchw": here,
        "nhwc": last,
        "plain": plain,
        "two": two,
        "more": more,
        "grey": grey,
        "half": half,
        "wide": wide,
    }
    for mine, theirs in ((a, b) for a in contracts for b in contracts):
        for rows in (False, True):
            said = encode_document(declare(contracts[theirs], "m", version="2", rows=rows))
            yield agreement(f"{mine}/{theirs}{'/rows' if rows else ''}", contracts[mine], said)
    said = encode_document(declare(here, "m"))
    for name, text in {
        "empty": b"", "list": b"[]", "cut": said[:-1], "no-inputs": b'{"name":"m","outputs":[]}', "nothing": b"{}",
        "datatype": said.replace(b"FP32", b"FP8"), "shape": said.replace(b"[1,3,8,6]", b'"x"'),
        "shape-float": said.replace(b"[1,3,8,6]", b"[1.0,3,8,6]"), "versions": said.replace(b'["1"]', b'"1"'),
        "versions-numbers": said.replace(b'["1"]', b"[1]"), "utf8": said.replace(b'"m"', b'"\xff"'), "html": b"<html>",
        "parameter": said.replace(b'"pictures":true', b'"pictures":null'), "platform": said.replace(b'"platform":""', b'"platform":5'),
        "unknown-keys": said.replace(b'"platform":""', b'"extra":{"a":[null]}'), "rank": said.replace(b"[1,3,8,6]", b"[1,3,8]"),
        "open": said.replace(b"[1,3,8,6]", b"[-1,-1,-1,-1]"), "zero": said.replace(b"[1,3,8,6]", b"[1,3,0,6]"),
        "pictures-1": said.replace(b'"pictures":true', b'"pictures":1'), "minus-2": said.replace(b"[1,3,8,6]", b"[-2,3,8,6]"),
        "no-versions": said.replace(b'"versions":["1"],', b""), "nested": said[:-1] + b',"z":' + b"[" * 2000 + b"]" * 2000 + b"}",
    }.items():  # fmt: skip
        if name != "nested":
            yield agreement(f"text/{name}", here, text)


def agreement(name: str, contract: Contract, said: bytes) -> Case:
    found: Case = {"name": name, "body": b64(said)}
    found["contract"] = {
        side: [{"name": s.name, "shape": list(s.shape), "dtype": s.dtype, "layout": s.layout} for s in specs]
        for side, specs in (("inputs", contract.inputs), ("outputs", contract.outputs))
    }
    try:
        served = check_contract(read_metadata(said), contract)
    except AnswerError:
        return {**found, "accept": False, "error": "answer"}
    except ContractError:
        return {**found, "accept": False, "error": "contract"}
    axes = {"to_server": served.to_server, "from_server": served.from_server}
    return {**found, "accept": True, "pictures": served.pictures, **{key: listed(value) for key, value in axes.items()}}


def listed(axes: Mapping[str, Any]) -> Case:
    return {name: None if order is None else list(order) for name, order in axes.items()}


def errors() -> Iterator[Case]:
    said = (b'{"error":"the queue is full"}', b"", b"<html>", b'{"error":5}', b'{"error":"a\\nb\\u0007c"}',
            b'{"error":"' + b"x" * 400 + b'"}', b'{"error":"\xff"}', b'{"message":"m"}')  # fmt: skip
    for status in (400, 401, 403, 404, 413, 415, 418, 429, 500, 502, 503, 504):
        yield refused(status, said[0], "7")
    for text in said[1:]:
        yield refused(500, text, "")
    for after in (
        "",
        "0",
        "60",
        "999999",
        "1000000",
        "-1",
        "1.5",
        "soon",
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "\u0665",
        " 3",
    ):
        yield refused(503, said[0], after)
        yield refused(429, said[0], after)


def refused(status: int, body: bytes, after: str) -> Case:
    error = parse_error(status, body, after)
    found = {"status": status, "body": b64(body), "retry_after": after, "kind": type(error).__name__}
    return {**found, "retry_after_s": getattr(error, "retry_after_s", None), "message": str(error)}


def vectors() -> dict[str, bytes]:
    """Return the files by name: a line for each case."""
    parts = {
        "requests": list(requests()),
        "pictures": list(pictures()),
        "responses": list(responses()),
        "metadata": list(agreements()),
        "errors": list(errors()),
    }
    return {f"{name}.json": written(cases) for name, cases in parts.items()}


def written(cases: Sequence[Case]) -> bytes:
    return b'{"schema":1,"cases":[\n' + b",\n".join(msgspec.json.encode(case) for case in cases) + b"\n]}\n"


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, data in vectors().items():
        write_atomic(GOLDEN / name, data)
