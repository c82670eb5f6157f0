"""Answers to inference requests: those that a client takes, and those that it refuses."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from edge.serve.metadata import TensorMetadata

Case = dict[str, Any]
MASK = TensorMetadata(name="mask", datatype="FP32", shape=(-1, 1, 2, 2))
CODES = TensorMetadata(name="codes", datatype="INT64", shape=(1, 3))


def b64(data: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(data).decode()


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
    for name, low, high in (("INT8", -128, 127), ("UINT8", 0, 255), ("INT16", -(2**15), 2**15 - 1),
    ("UINT16", 0, 65535),
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
        ("INT32", "i", (-70000, 70000)), ("UINT32", "I", (0, 70000)), ("UINT64", "Q", (0, 9)), ("FP16", "e",
        (0.5, -2.0)),
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
        "escape": b'{"model_name":"\\x","outputs":[]}',
        "leading-zero": b'{"model_name":"m","parameters":{"a":01},"outputs":[]}',
        "html": b"<html>502 Bad Gateway</html>",
        "nested": b'{"model_name":"m","outputs":' + b"[" * 2000 + b"]" * 2000 + b"}",
    }.items():  # fmt: skip
        yield f"json/{name}", body(text), []
    for name, head in {
        "no-name": {"outputs": []}, "no-outputs": {"model_name": "m"}, "empty-name": {"model_name": "", "outputs": []},
        "long-name": {"model_name": "m" * 257, "outputs": []}, "number-name": {"model_name": 5, "outputs": []},
        "null-version": document(model_version=None), "number-version": document(model_version=3),
        "long-id": document(id="i" * 257), "null-id": document(id=None), "outputs-object": {**document(),
        "outputs": {}},
        "outputs-null": {**document(), "outputs": None}, "output-number": {**document(), "outputs": [5]},
        "parameters-null": document(parameters=None), "parameters-list": document(parameters=[]),
        "parameter-null": document(parameters={"a": None}), "parameter-list": document(parameters={"a": []}),
        "seventeen": document(*(output(f"o{n}", [0], parameters={"binary_data_size": 0}) for n in range(17))),
        "parameter-range": b'{"model_name":"m","parameters":{"a":1e400},"outputs":[]}',
        "too-long": b'{"model_name":"m","outputs":[]}' + b" " * (64 << 10),
    }.items():  # fmt: skip
        yield f"document/{name}", body(head), []
    for name, change in {
        "no-name": {"name": ...}, "empty-name": {"name": ""}, "no-shape": {"shape": ...},
        "no-datatype": {"datatype": ...},
        "unknown-datatype": {"datatype": "FP8"}, "lower-case": {"datatype": "fp32"},
        "null-datatype": {"datatype": None},
        "shape-word": {"shape": "1,1,2,2"}, "shape-float": {"shape": [1, 1, 2, 2.0]},
        "shape-bool": {"shape": [1, 1, 2, True]},
        "shape-negative": {"shape": [1, 1, -2, -2]}, "shape-huge": {"shape": [2**40 + 1]},
        "shape-null": {"shape": None},
        "overflow-32": {"shape": [2**16, 2**16 + 1]}, "overflow-64": {"shape": [2**32, 2**32]},
        "overflow-to-16": {"shape": [2**40, 2**22 + 0, 4]}, "overflow-zero": {"shape": [2**40] * 8},
        "nine-axes": {"shape": [1] * 9}, "above-limit": {"shape": [2_097_153]},
        "size-less": {"parameters": {"binary_data_size": 15}},
        "size-more": {"parameters": {"binary_data_size": 17}}, "size-0": {"parameters": {"binary_data_size": 0}},
        "size-negative": {"parameters": {"binary_data_size": -16}},
        "size-float": {"parameters": {"binary_data_size": 16.0}},
        "size-word": {"parameters": {"binary_data_size": "16"}},
        "size-true": {"parameters": {"binary_data_size": True}},
        "size-2**64+16": {"parameters": {"binary_data_size": 2**64 + 16}}, "size-none": {"parameters": {}},
        "both": {"data": [1, 2, 3, 4]}, "shared-memory": {"parameters": {"binary_data_size": 16,
        "shared_memory_region": "r"}},
        "other-datatype": {"datatype": "INT32"}, "other-shape": {"shape": [1, 1, 4, 1]},
        "other-rank": {"shape": [1, 4]},
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
        ("null", [1], "FP32", [None]), ("object", [1], "FP32", {}), ("number", [1], "FP32", 5), ("bool", [1],
        "FP32", [True]),
        ("float-int", [1], "INT64", [1.0]), ("int-bool", [1], "BOOL", [1]), ("range-8", [1], "UINT8", [256]),
        ("range-minus", [1], "UINT64", [-1]), ("range-64", [1], "INT64", [2**63]), ("range-huge", [1],
        "INT64", [10**40]),
        ("range-half", [1], "FP16", [65520]), ("range-single", [1], "FP32", [3.5e38]), ("bf16", [1], "BF16", [1]),
        ("bytes-number", [1], "BYTES", [5]), ("data-null", [1], "FP32", None), ("lying", [2_000_000], "FP32", [1]),
        ("lying-bytes", [4097], "BYTES", ["a"]), ("empty", [1], "FP32", []), ("half-nested", [1, 2, 2],
        "FP32", [[1, 2], [3, 4]]),
    ):  # fmt: skip
        yield f"data/{name}", body(document(output("d", shape, datatype, data=data))), []
    yield (
        "data/surrogate",
        body(b'{"model_name":"m","outputs":[{"name":"d","shape":[1],"datatype":"BYTES","data":["\\ud800"]}]}'),
        [],
    )
    for name, raw in {
        "length-more": b"\xff\0\0\0ab", "length-huge": b"\xff\xff\xff\xffab", "length-cut": b"\1\0\0\0a\1\0",
        "rest": b"\1\0\0\0a\0\0\0\0x",
        "one": b"\2\0\0\0abcd"}.items():  # fmt: skip
        claimed = output("b", [2], "BYTES", parameters={"binary_data_size": len(raw)})
        yield f"bytes/{name}", body(document(claimed), raw), []
    claimed = output("b", [4097], "BYTES", parameters={"binary_data_size": 4 * 4097})
    yield "bytes/many", body(document(claimed), bytes(4 * 4097)), []
    yield "bool/2", body(document(output("b", [2], "BOOL", parameters={"binary_data_size": 2})), b"\1\2"), []
    yield "bool/255", body(document(output("b", [1], "BOOL", parameters={"binary_data_size": 1})), b"\xff"), []
