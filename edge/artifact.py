"""An artifact is a folder with a manifest: read, write, hash and check it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.codebooks import codebook_at
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.delegation import Delegation
from edge.errors import ContractError, InputError, StoreError

SCHEMA = 1
MANIFEST = "manifest.json"
Mode = Literal["native", "emulated", "reference", "unverified"]
# What is read, not what is made, is checked by these: the apps download by a manifest. No part of a name is empty, "."
# or "..", and "$(?!\n)" is the end of the text, for Python's "$" stands before a last newline too.
FileName = Annotated[str, Meta(pattern=r"^(?!(.*/)?\.{1,2}(/|$))[^/\\\x00-\x1f\x7f]+(/[^/\\\x00-\x1f\x7f]+)*$(?!\n)")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Size = Annotated[int, Meta(ge=0, le=2**53)]  # in bytes; every language of the apps and of JSON holds it exactly


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen, keyword-only, and an unknown key is an error."""


class FileEntry(_Record):
    """Name one file of an artifact, relative to its folder."""

    name: FileName
    bytes: Size
    sha256: Digest


class Step(_Record):
    """Record one tool that shaped the artifact."""

    tool: str
    version: str
    options: dict[str, str | int | float | bool] = {}


class Source(_Record):
    """Say where the weights came from."""

    sha256: str
    licence: str = ""
    origin: str = ""  # package and version, or the file's name


class OutputParity(_Record):
    """Compare one output with the eager fp32 model's, over all inputs."""

    name: str
    max_abs: float
    psnr_db: float
    cosine: float
    scale: float  # largest magnitude of the eager output
    limit: float  # largest max_abs / scale that the precision and the model allow
    limit_psnr_db: float | None = None  # PSNR at which the output passes whatever its largest error


class TaskParity(_Record):
    """Compare what users care about after decoding; `value` must reach `limit`."""

    metric: str
    value: float
    limit: float


class Parity(_Record):
    """Say whether the artifact computes what the model computes, and how that is known."""

    passed: bool
    mode: Mode
    inputs: str  # "real" or "random", and how many
    outputs: tuple[OutputParity, ...] = ()
    task: TaskParity | None = None
    reason: str = ""


class Needs(_Record):
    """State what the device must offer."""

    min_runtime: str
    ram_bytes: Size = 0


class Fallback(_Record):
    """Name the policy that sends work to a server, and the server."""

    policy: Literal["only-on-device", "prefer-on-device", "prefer-server", "only-server"] = "only-on-device"
    endpoint: str = ""


class Manifest(_Record, kw_only=True):
    """The contract of an artifact with the apps and the server; written as manifest.json."""

    schema: Literal[1] = 1
    model: str
    task: str
    target: str
    precision: str
    files: tuple[FileEntry, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: tuple[Step, ...]
    source: Source
    needs: Needs
    preprocess: Preprocess | None = None
    postprocess: Postprocess | None = None
    labels: tuple[str, ...] = ()
    parity: Parity | None = None
    delegation: Delegation | None = None
    estimates: dict[str, float] = {}  # of the chip's compiler, not measured: cycles, bytes, milliseconds
    signature: str = ""  # equal for two builds that compute the same, whose bytes a vendor's compiler makes differ
    fallback: Fallback = Fallback()

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.files]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ContractError(
                f"files are named twice: {', '.join(twice)}; deploy the artifact again with `edge deploy`"
            )
        if MANIFEST in names:
            raise ContractError(f"files name {MANIFEST}, this very file; deploy the artifact again with `edge deploy`")

    @property
    def contract(self) -> Contract:
        """Return what the artifact keeps of its model's contract, in the artifact's own layouts."""
        return Contract(
            inputs=self.inputs,
            outputs=self.outputs,
            task=self.task,
            preprocess=self.preprocess,
            postprocess=self.postprocess,
            labels=self.labels,
        )


class Artifact(msgspec.Struct, frozen=True):
    """Pair a folder with its manifest."""

    root: Path
    manifest: Manifest

    def file(self, suffix: str) -> Path:
        """Return the one file or package folder that ends with `suffix`; raises InputError if there is none."""
        for entry in self.manifest.files:
            head = entry.name.split("/", 1)[0]
            if head.endswith(suffix):
                return self.root / head
        names = ", ".join(entry.name for entry in self.manifest.files)
        raise InputError(f"{self.root}: no {suffix} among its files ({names}); deploy it again with `edge deploy`")


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of manifest.json, generated from the types."""
    schema = msgspec.json.schema(Manifest)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Edge artifact manifest", **schema}


def file_digest(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def list_files(root: Path) -> tuple[FileEntry, ...]:
    """Hash every file below `root` except the manifest, in name order."""
    found = sorted(path for path in root.rglob("*") if path.is_file() and path.name != MANIFEST)
    return tuple(
        FileEntry(name=path.relative_to(root).as_posix(), bytes=path.stat().st_size, sha256=file_digest(path))
        for path in found
    )


def write_atomic(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file to a temporary name beside it, flush it to the disk and rename it; raises StoreError.

    `mode` is the new file's, less the process's umask; it holds from the first byte on.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # what a killed process of this number left, with whatever mode
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}; free some space or choose another folder") from error


def encode_json(record: object) -> bytes:
    """Encode a record as indented JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def write_manifest(root: Path, manifest: Manifest) -> Artifact:
    """Write manifest.json into `root` and return the artifact."""
    write_atomic(root / MANIFEST, encode_json(manifest))
    return Artifact(root, manifest)


def read_manifest(root: Path) -> Artifact:
    """Read an artifact folder; raises InputError for a folder without a valid manifest."""
    path = root
    try:
        path = root / MANIFEST if root.is_dir() else root
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise InputError(
            f"{root} is not an artifact: no {MANIFEST} to read ({error.strerror}); make one with `edge deploy`"
        ) from None
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not a manifest of schema {SCHEMA}: {error}; deploy it again with `edge deploy`"
        ) from None
    codebook_at(manifest.postprocess, path.parent)
    return Artifact(path.parent, manifest)


def check_files(artifact: Artifact) -> None:
    """Hash every file again; raises InputError naming the first that is missing or differs."""
    for entry in artifact.manifest.files:
        path = artifact.root / entry.name
        if not path.is_file():
            raise InputError(f"{path} is missing; deploy it again with `edge deploy`")
        if path.stat().st_size != entry.bytes or file_digest(path) != entry.sha256:
            raise InputError(
                f"{path} was changed after it was made (sha256 differs from {MANIFEST}); "
                "deploy it again with `edge deploy`"
            )
