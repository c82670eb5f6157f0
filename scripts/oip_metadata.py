"""What servers say of a model, and whether it fits a contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oip_answers import Case, b64

from edge.client.agree import check_contract, read_metadata
from edge.contract import Contract, TensorSpec
from edge.errors import ContractError
from edge.serve.errors import AnswerError
from edge.serve.metadata import declare, encode_document


def agreements() -> Iterator[Case]:
    def image(*shape: int, layout: Any = "NCHW", **more: Any) -> TensorSpec:
        return TensorSpec(name="image", shape=shape, layout=layout, **more)

    here = Contract(inputs=(image(1, 3, 8, 6),), outputs=(TensorSpec(name="mask", shape=(1, 2, 8, 6), layout="NCHW"),))
    last = Contract(
        inputs=(image(1, 8, 6, 3, layout="NHWC"),),
        outputs=(TensorSpec(name="mask", shape=(1, 8, 6, 2), layout="NHWC"),),
    )
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
        "parameter": said.replace(b'"pictures":true', b'"pictures":null'),
        "platform": said.replace(b'"platform":""', b'"platform":5'),
        "unknown-keys": said.replace(b'"platform":""', b'"extra":{"a":[null]}'),
        "rank": said.replace(b"[1,3,8,6]", b"[1,3,8]"),
        "open": said.replace(b"[1,3,8,6]", b"[-1,-1,-1,-1]"), "zero": said.replace(b"[1,3,8,6]", b"[1,3,0,6]"),
        "pictures-1": said.replace(b'"pictures":true', b'"pictures":1'),
        "minus-2": said.replace(b"[1,3,8,6]", b"[-2,3,8,6]"),
        "no-versions": said.replace(b'"versions":["1"],', b""),
        "nested": said[:-1] + b',"z":' + b"[" * 2000 + b"]" * 2000 + b"}",
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
