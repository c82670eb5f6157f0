"""Write apps/shared/golden/manifest/cases.json: manifests, and what the Python reference makes of each.

A case holds the file's `text`, its bytes in `base64` where they are no UTF-8, or the `edits` that make it of the case
`full`: a path like `files.0.bytes` and what is set there, or that it is removed. `verdict` is `accept` (then `read`
holds every value, defaults included), `refuse` or `newer-schema`. `stricter` marks the few that Python takes and the
apps refuse, and says why.
"""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edge.artifact import MANIFEST, encode_json, read_manifest, write_atomic
from edge.errors import EdgeError
from scripts.manifest_cases import Case, apply, files, keys, preprocessing, schemas, tensors, texts, values
from scripts.manifest_samples import least, real

GOLDEN = Path(__file__).resolve().parent.parent / "apps" / "shared" / "golden" / "manifest" / "cases.json"


def verdict(data: bytes) -> dict[str, Any]:
    """Read the bytes as the kit reads an artifact's manifest, its contract included."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_bytes(data)
        try:
            manifest = read_manifest(Path(folder)).manifest
            manifest.contract  # noqa: B018  # checks what the parts have to do with each other
        except EdgeError as error:
            newer = "newer-schema" if is_newer(data) else "refuse"
            return {"verdict": newer, "error": re.sub(r"^.* of schema 1: |; deploy it again.*$", "", str(error))}
    return {"verdict": "accept", "read": manifest}


def is_newer(data: bytes) -> bool:
    """Say whether the bytes are JSON of a later schema, whatever else they hold."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    schema = found.get("schema") if isinstance(found, dict) else None
    return isinstance(schema, int) and not isinstance(schema, bool) and schema > 1


def cases() -> Iterator[Case]:
    for name, manifest in real():
        yield Case(f"real/{name}", msgspec.json.encode(manifest))
    yield Case("least", encode_json(least()))
    yield Case("full", apply(()))
    for part in (keys, schemas, files, tensors, preprocessing, values, texts):
        yield from part()


def line(case: Case) -> bytes:
    """Return the JSON of one case."""
    data = apply(case.edits) if case.edits else case.data
    body: dict[str, Any] = {"name": case.name}
    if case.edits:
        body["edits"] = case.edits
    else:
        try:
            body["text"] = data.decode()
        except UnicodeDecodeError:
            body["base64"] = base64.b64encode(data).decode()
    if case.stricter:
        body["stricter"] = case.stricter
    return msgspec.json.encode(body | verdict(data))


def vectors() -> bytes:
    """Return the file: a line for each case."""
    return b'{"schema":1,"cases":[\n%b\n]}\n' % b",\n".join(map(line, cases()))


if __name__ == "__main__":
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(GOLDEN, vectors())
