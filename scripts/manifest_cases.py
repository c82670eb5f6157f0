"""Manifests that are right or wrong in one thing each, for the golden vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from edge.artifact import encode_json
from scripts.manifest_samples import DIGEST, FILES, full, least

Edit = dict[str, Any]


class Case(NamedTuple):
    """Name a manifest: its bytes, or what is changed in the case `full`."""

    name: str
    data: bytes = b""
    edits: tuple[Edit, ...] = ()
    stricter: str = ""


def at(path: str, value: Any) -> Edit:
    """Set what a path like `files.0.bytes` names."""
    return {"set": path, "to": value}


def without(path: str) -> Edit:
    """Take a key away."""
    return {"remove": path}


def edited(name: str, *edits: Edit, stricter: str = "") -> Case:
    """Return the case of the full manifest with edits."""
    return Case(name, edits=edits, stricter=stricter)


def apply(edits: tuple[Edit, ...]) -> bytes:
    """Return the full manifest with edits."""
    manifest = full()
    for edit in edits:
        *parents, last = (
            int(part) if part.isdigit() else part for part in edit.get("set", edit.get("remove")).split(".")
        )
        place: Any = manifest
        for part in parents:
            place = place[part]
        if "set" in edit:
            place[last] = edit["to"]
        else:
            del place[last]
    return msgspec.json.encode(manifest)


REQUIRED = (
    "model", "task", "target", "precision", "files", "inputs", "outputs", "steps", "source", "needs",
    "files.0.name", "files.0.bytes", "files.0.sha256", "inputs.0.name", "inputs.0.shape", "steps.0.tool",
    "steps.0.version", "source.sha256", "needs.min_runtime", "preprocess.size", "postprocess.decoder", "parity.passed",
    "parity.mode", "parity.inputs", "parity.outputs.0.limit", "parity.task.metric", "delegation.ops",
    "delegation.by_unit", "delegation.rejected.0.op", "delegation.rejected.0.count",
)  # fmt: skip
OPTIONAL = (
    "schema", "preprocess", "postprocess", "labels", "parity", "delegation", "estimates", "signature", "fallback",
    "inputs.0.layout", "outputs.0.dtype", "steps.1.options", "source.licence", "source.origin", "needs.ram_bytes",
    "preprocess.resize", "preprocess.colour", "preprocess.range", "preprocess.mean", "preprocess.std",
    "postprocess.settings", "parity.outputs", "parity.task", "parity.reason", "parity.outputs.0.limit_psnr_db",
    "delegation.macs", "delegation.macs_by_unit", "delegation.by_backend", "delegation.rejected",
    "delegation.rejected.0.reason", "delegation.rejected.0.hint", "fallback.policy", "fallback.endpoint",
)  # fmt: skip
OBJECTS = (
    "files.0", "inputs.0", "outputs.0", "steps.0", "source", "needs", "preprocess", "postprocess", "parity",
    "parity.outputs.0", "parity.task", "delegation", "delegation.rejected.0", "fallback",
)  # fmt: skip


def keys() -> Iterator[Case]:
    for path in REQUIRED:
        yield edited(f"missing/{path}", without(path))
    for path in OPTIONAL:
        yield edited(f"absent/{path}", without(path))
        yield edited(f"null/{path}", at(path, None))
    yield edited("unknown/top", at("colour", "red"))
    for path in OBJECTS:
        yield edited(f"unknown/{path}", at(f"{path}.extra", 1))


def schemas() -> Iterator[Case]:
    for value in (2, 3, 2**31, 0, -1, "1", 1.5, True, None, [1]):
        yield edited(f"schema/{value}", at("schema", value))
    yield Case("schema/newer-with-strange-keys", b'{"schema": 2, "everything": {"is": "new"}}')


def files() -> Iterator[Case]:
    inside = (
        "a",
        "a/b.bin",
        ".hidden",
        "..a",
        "a..",
        "...",
        "a/...",
        "a b",
        "ä/ö",
        "C:x",
        "model.mlpackage/Data/x",
        "~",
    )
    outside = (
        "", "/", "/etc/passwd", "..", ".", "../a", "a/..", "a/../b", "a/../../b", "./a", "a/.", "a/./b", "a//b", "a/",
        "..\\a", "a\\b", "a\nb", "a\n", "\u0000", "a\u0000.bin", "a\u007f", "a\r",
    )  # fmt: skip
    for name in (*inside, *outside):
        yield edited(f"file-name/{name!a}", at("files.0.name", name))
    for size in (0, 1, 2**31, 2**53, 2**53 + 1, 2**63, 2**64, -1, 1.0, 1.5, "7", True, None, []):
        yield edited(f"file-bytes/{size}", at("files.0.bytes", size))
    digests = ("", DIGEST[:-1], DIGEST + "0", DIGEST.upper(), "g" + DIGEST[1:], " " + DIGEST[1:], DIGEST + "\n", None)
    for digest in (*digests, "f" * 64):
        yield edited(f"file-sha256/{digest!a}", at("files.0.sha256", digest))
    yield edited("files/twice", at("files.1.name", FILES[1]))
    yield edited("files/itself", at("files.1.name", "manifest.json"))
    yield edited("files/below", at("files.1.name", "a/manifest.json"))
    yield edited("files/none", at("files", []))
    yield edited("files/object", at("files", {}))


def tensors() -> Iterator[Case]:
    for shape in (
        [1, 3, 8, 0],
        [1, 3, -8, 6],
        [3, 8, 6],
        [],
        [1, 3, 8, 6, 1],
        [1, 3, 8, 2**31],
        [1, 3, 8, 6.0],
        "1x3x8x6",
    ):
        yield edited(f"shape/image/{shape}", at("inputs.0.shape", shape))
    for shape in ([], [1], [2**31 - 1], [2**31], [0], [-1], [1, 2, 3, 4, 5, 6], [True], [None]):
        edits = (at("outputs.0.layout", ""), at("outputs.0.shape", shape))
        yield edited(f"shape/plain/{shape}", *edits)
    for dtype in ("float64", "Float32", "", None, 32, "bool", "float16", "int16", "int64", "int8", "int32"):
        yield edited(f"dtype/{dtype}", at("outputs.0.dtype", dtype))
    for layout in ("nchw", "CHW", "NHWC", "", None):
        yield edited(f"layout/{layout}", at("inputs.0.layout", layout), at("inputs.0.shape", [1, 8, 6, 3]))
    yield edited("names/empty", at("inputs.0.name", ""))
    yield edited("names/twice", at("outputs.0.name", "image"))
    yield edited("inputs/none", at("inputs", []))
    yield edited("outputs/none", at("outputs", []))


def preprocessing() -> Iterator[Case]:
    sizes = ([8, 6], [6, 8], [8], [8, 6, 1], [0, 6], [8.0, 6], [-8, 6], "8x6", 8)
    for size in sizes:
        yield edited(f"size/{size}", at("preprocess.size", size))
    plain = (at("inputs.0.layout", ""),)
    for size in ([9, 9], [0, 9], [9, -1], [1, 2**31 - 1], [1, 2**31]):
        yield edited(f"size-without-layout/{size}", *plain, at("preprocess.size", size))
    for resize in ("corner", "stretch", "crop", "", None):
        yield edited(f"resize/{resize}", at("preprocess.resize", resize))
    for colour in ("BGR", "rgb", "GREY"):
        yield edited(f"colour/{colour}", at("preprocess.colour", colour))
    for span in ([0, 255], [1.0, -1.0], [0, 0], [0], [0, 1, 2], [0, "1"], [None, 1], [0, 1e308], 1):
        yield edited(f"range/{span}", at("preprocess.range", span))
    for std in ([1, 1, 1], [-1.0, 1, 1e-300], [0, 1, 1], [1, 1, 0.0], [1, 1, -0.0], [1, 1], [1, 1, 1, 1], [1, 1, True]):
        yield edited(f"std/{std}", at("preprocess.std", std))
    for mean in ([0, 0, 0], [0.0], [0, 0, "0"], 0):
        yield edited(f"mean/{mean}", at("preprocess.mean", mean))


def values() -> Iterator[Case]:
    for setting in (1, -0.5, "text", [], [1, 2.5], True, None, {}, [True], ["a"], [[1]], 10**25):
        yield edited(f"setting/{setting}", at("postprocess.settings.x", setting))
    for option in (1, 0.5, "text", True, None, [], {}, 10**25):
        yield edited(f"option/{option}", at("steps.1.options.x", option))
    for mode in ("measured", "", None):
        yield edited(f"mode/{mode}", at("parity.mode", mode))
    for policy in ("only-server", "prefer_server", "PREFER_ON_DEVICE", "", None):
        yield edited(f"policy/{policy}", at("fallback.policy", policy))
    for ram in (0, 2**53, -1, 2**53 + 1, 0.5, "1"):
        yield edited(f"ram/{ram}", at("needs.ram_bytes", ram))
    for passed in (0, 1, "true", None, False):
        yield edited(f"passed/{passed!r}", at("parity.passed", passed))
    for number in (5, -1e-300, "5", None, True):
        yield edited(f"number/{number!r}", at("parity.outputs.0.psnr_db", number))
    yield edited("labels/numbers", at("labels", [1, 2]))
    yield edited("labels/text", at("labels", "person"))
    yield edited("estimates/text", at("estimates.cycles", "many"))
    yield edited("estimates/whole", at("estimates.cycles", 7))
    yield edited("units/fraction", at("delegation.by_unit.cpu", 0.5))
    yield edited("units/negative", at("delegation.by_unit.cpu", -1))
    wide = "the apps count in 64 bits"
    yield edited("units/beyond-64-bits", at("delegation.macs", 2**63), stricter=wide)
    yield edited("units/64-bits", at("delegation.macs", 2**63 - 1))


def texts() -> Iterator[Case]:
    good = encode_json(least())
    for name, text in {
        "empty": b"", "space": b" \n", "null": b"null", "list": b"[]", "number": b"1", "text": b'"manifest"',
        "zero-byte": b"\x00", "cut": good[:-20], "brace-only": b"{", "something-after": good + b"{}",
        "comma-at-the-end": good.rstrip()[:-1] + b",}", "comment": b"/* 1 */" + good, "marker": b"\xef\xbb\xbf" + good,
        "single-quotes": good.replace(b'"', b"'"), "spaces-around": b"\r\n\t " + good + b" \n",
        "not-utf-8": good.replace(b'"m"', b'"\xff"'), "utf-8-cut": good.replace(b'"m"', b'"\xc3"'),
        "utf-8-overlong": good.replace(b'"m"', b'"\xc0\xaf"'),
        "utf-8-surrogate": good.replace(b'"m"', b'"\xed\xa0\x80"'),
        "utf-16": good.decode().encode("utf-16"), "control-character": good.replace(b'"m"', b'"a\tb"'),
        "escapes": good.replace(b'"m"', rb'"\"\\\/\b\f\n\r\t\u00e9\ud83d\udeb6"'),
        "bad-escape": good.replace(b'"m"', rb'"\x41"'), "short-escape": good.replace(b'"m"', rb'"\u12"'),
        "not-a-number": good.replace(b'"estimates": {}', b'"estimates": {"x": NaN}'),
        "infinite": good.replace(b'"estimates": {}', b'"estimates": {"x": Infinity}'),
        "too-large": good.replace(b'"estimates": {}', b'"estimates": {"x": 1e999}'),
        "very-small": good.replace(b'"estimates": {}', b'"estimates": {"x": 1e-999}'),
        "exponent": good.replace(b'"estimates": {}', b'"estimates": {"x": -1.25E+2}'),
        "leading-zero": good.replace(b'"estimates": {}', b'"estimates": {"x": 01}'),
        "leading-plus": good.replace(b'"estimates": {}', b'"estimates": {"x": +1}'),
        "no-digit-after-the-point": good.replace(b'"estimates": {}', b'"estimates": {"x": 1.}'),
        "whole-as-fraction": good.replace(b"2\n", b"2.0\n"), "whole-with-exponent": good.replace(b"2\n", b"2e0\n"),
    }.items():  # fmt: skip
        yield Case(f"text/{name}", text)
    twice = good.replace(b'"model": "m"', b'"model": "a", "model": "m"')
    either = "a name that comes twice may mean either; which one wins differs between readers"
    yield Case("text/key-twice", twice, stricter=either)
    alone = good.replace(b'"m"', rb'"\udc00"')
    yield Case("text/half-a-pair", alone)
