"""Cache keys: everything that shapes a result, hashed without loading torch."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from convert.targets import Target
from edge.artifact import file_digest
from edge.contract import Contract
from edge.errors import CheckpointError, InputError
from edge.profile.machine import host_name
from edge.sdk import SDKS
from edge.store import content_key
from edge.threads import thread_count
from edge.versions import installed_version
from edge.zoo import MODELS, TRAINED
from quant.recipe import PLAIN, Recipe

_MAX_SOURCES = 2000
_SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "site-packages", "build", "dist"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """Name what to deploy: a zoo model, `file.py:function` or a `.pt2`, its weights, and pictures to compare on."""

    model: str
    checkpoint: Path | None = None
    contract: Contract | None = None
    images: tuple[Path, ...] = ()
    calibration: tuple[Path, ...] = ()  # pictures to measure ranges on; without any, cuts of the images serve
    own_images: bool = False  # the user named the pictures: a model that takes none is then an error
    random_weights: bool = False


def prepared_key(request: ModelRequest) -> str:
    """Return the key of a request's program and eager answers; raises UnknownName or an InputError."""
    return content_key(
        "prepared",
        request.model,
        *_model_parts(request),
        *((request.checkpoint.name, file_digest(existing(request.checkpoint))) if request.checkpoint else ()),
        msgspec.json.encode(request.contract).decode() if request.contract else "",
        str((request.random_weights, request.own_images)),
        *(file_digest(existing(image)) for image in request.images),
        "calibration",
        *(file_digest(existing(image)) for image in request.calibration),
        installed_version("torch"),
        kit_digest(),
    )


def artifact_key(prepared: str, target: Target, precision: str, recipe: Recipe = PLAIN) -> str:
    """Return the key of a finished artifact and of what executing it on this machine found."""
    versions = [f"{name}={installed_version(name)}" for name in ("torch", *target.packages)]
    versions += [f"{name}={SDKS[name].identity()}" for name in target.sdks]
    return content_key(
        *("artifact", prepared, target.id, precision, str(recipe), *versions),
        *(host_name(), str(thread_count())),
    )


def existing(path: Path) -> Path:
    """Return the path if it is a file that can be read; raises CheckpointError or InputError."""
    if path.is_file() and os.access(path, os.R_OK):
        return path
    kind = CheckpointError if path.suffix in (".pt", ".pth", ".tar", ".safetensors", ".pt2", ".npz") else InputError
    what = "is a folder" if path.is_dir() else "is not there" if not path.exists() else "cannot be read"
    raise kind(f"{path} {what}; expected a file")


def _model_parts(request: ModelRequest) -> list[str]:
    if ".py:" in request.model:
        path = existing(Path(request.model.rsplit(":", 1)[0]))
        return [file_digest(path), *(file_digest(source) for source in _sources(path.resolve().parent))]
    if request.model.endswith(".pt2"):
        return [file_digest(existing(Path(request.model)))]
    entry = MODELS[request.model]
    companion = MODELS[entry.companion] if entry.companion else None
    files = [file.sha256 for model in (entry, companion) if model is not None for file in model.files]
    trained = [file_digest(existing(TRAINED / entry.trained))] if entry.trained and not request.checkpoint else []
    return [msgspec.json.encode(entry.contract).decode(), *files, *trained]


def _sources(folder: Path) -> list[Path]:
    """Return the Python files that a user's model may import: those beside it and below."""
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED_FOLDERS)
        found += [Path(root) / name for name in sorted(files) if name.endswith(".py")]
        if len(found) > _MAX_SOURCES:
            return found[:_MAX_SOURCES]
    return found


@functools.cache
def kit_digest() -> str:
    """Return a key of the kit's own code, so that a changed kit never reuses an old result."""
    root = Path(__file__).resolve().parent.parent
    files = [path for package in ("edge", "convert", "quant") for path in sorted((root / package).rglob("*.py"))]
    return content_key(*(file_digest(path) for path in files))
