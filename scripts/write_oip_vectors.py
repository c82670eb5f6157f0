"""Write apps/shared/golden/oip: requests byte for byte, answers that are taken and refused, metadata, and errors.

Python, Kotlin and Swift must all agree with them. Bodies are base64. `accept` is what edge.serve and edge.client say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from oip_answers import Case, b64, bad, good
from oip_metadata import agreements

from edge.artifact import write_atomic
from edge.client.work import picture_tensor
from edge.serve.datatypes import array_dtype, to_raw
from edge.serve.errors import AnswerError, parse_error
from edge.serve.requests import encode_request
from edge.serve.responses import parse_response
from edge.serve.wire import Tensor
from edge.tasks import Region

GOLDEN = Path(__file__).resolve().parent.parent / "apps" / "shared" / "golden" / "oip"


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
        for index, datatype in enumerate(("BOOL", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "UINT64", "FP16",
        "FP64"))
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
               1e22, 5e-324, 1.7976931348623157e308, 2**-44, 100.0, 1e21,
               9007199254740993.0, 0.30000000000000004)  # fmt: skip
    regions = [None, *(Region(value, -value, value, value) for value in numbers)]
    for region in regions:
        message = encode_request([picture_tensor("image", picture, region)], timeout_us=1_000_000)
        stated = None if region is None else [region.centre_x, region.centre_y, region.side, region.rotation]
        yield {"picture": b64(picture), "region": stated, "body": b64(message.body), "json_bytes": message.json_bytes}


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
