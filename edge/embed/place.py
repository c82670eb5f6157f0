"""Put artifacts and bindings into a project: verified, each in one step, replacing only what was put there before."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import msgspec
from filelock import FileLock, Timeout

from edge.artifact import MANIFEST, Artifact, FileEntry, encode_json, file_digest, write_atomic
from edge.disk import disk_errors
from edge.embed.project import Project
from edge.embed.records import RECORD, Embedded, Record
from edge.errors import InputError, StoreError, UsageError
from edge.output import publish_folder, staging_folder

_ELSEWHERE = "choose another --into"


@contextlib.contextmanager
def exclusive(models: Path) -> Iterator[None]:
    """Hold the project for one writer; the lock is no file of the project's."""
    key = hashlib.sha256(str(models.resolve()).encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"edge-embed-{key}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"another `edge embed` is writing into {models}; wait for it") from None
    try:
        yield
    finally:
        lock.release()


def artifact_files(artifact: Artifact) -> tuple[FileEntry, ...]:
    """Return an artifact's files with its manifest, which has to be the file that was read."""
    path = artifact.root / MANIFEST
    manifest = FileEntry(name=MANIFEST, bytes=path.stat().st_size, sha256=file_digest(path))
    return (manifest, *artifact.manifest.files)


def check_names(artifact: Artifact) -> None:
    """Raise InputError for a file that would be written outside the folder, or that an app's packer leaves out."""
    names = [entry.name for entry in artifact.manifest.files]
    for name in names:
        parts = PurePosixPath(name).parts
        plain = parts and "/".join(parts) == name and not any(part in (".", "..", "/") for part in parts)
        if not plain or "\\" in name or ":" in name or not name.isprintable() or name == MANIFEST:
            raise InputError(f"{artifact.root}: {name!r} is no name of a file within an artifact; deploy it again")
        if any(part.startswith(".") or part.endswith("~") for part in parts) or any(
            part.startswith("_") for part in parts[:-1]
        ):
            raise InputError(
                f"{artifact.root}: Android's packer leaves {name!r} out of an app; rename it and deploy again"
            )
    if len({name.casefold() for name in names}) < len(names):
        raise InputError(f"{artifact.root}: names of files differ in nothing or in case only; deploy it again")


def place(artifact: Artifact, model: Embedded, binding: str, project: Project, before: Embedded | None) -> str:
    """Put one artifact and its binding in place and return added, replaced or unchanged.

    Raises InputError for something in the way that `edge embed` has not put there, or that was changed since.
    """
    models, home = project.models, project.home
    folder, source = models / model.name, home / model.binding.name
    same_folder = _holds(folder, model.files)
    same_source = source.is_file() and file_digest(source) == model.binding.sha256
    if not same_folder:
        _check_ours(folder, before)
    if not same_source and source.exists():
        _check_source(source, before, home)
    if not same_folder:
        with staging_folder(models) as staging:
            _copy(artifact, model.files, staging / model.name)
            publish_folder(staging / model.name, folder, staging / f"{model.name}.old")
    if not same_source:
        with disk_errors(source, _ELSEWHERE):
            source.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(source, binding.encode())
    if before is not None and before.binding.name != model.binding.name:
        _remove_source(home / before.binding.name, before)
    if same_folder and same_source and before is not None:
        return "unchanged"
    return "added" if before is None else "replaced"


def write_record(home: Path, record: Record) -> None:
    """Write embed.json, unless it says the same already."""
    data, path = encode_json(msgspec.to_builtins(record)), home / RECORD
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)


def make_folder(models: Path) -> None:
    """Make the folder of the models; raises StoreError."""
    with disk_errors(models, _ELSEWHERE):
        models.mkdir(parents=True, exist_ok=True)


def _holds(folder: Path, files: Sequence[FileEntry]) -> bool:
    """Say whether a folder has exactly these files."""
    if not folder.is_dir():
        return False
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    if found.keys() != {entry.name for entry in files}:
        return False
    return all(
        found[entry.name].is_file()
        and found[entry.name].stat().st_size == entry.bytes
        and file_digest(found[entry.name]) == entry.sha256
        for entry in files
    )


def _check_ours(folder: Path, before: Embedded | None) -> None:
    if not folder.exists():
        return
    if before is None:
        raise InputError(f"{folder} is in the way: `edge embed` has not put it there; move it away")
    if not _holds(folder, before.files):
        raise InputError(f"{folder} was changed since `edge embed` put it there; move it away, or bring it back")


def _check_source(source: Path, before: Embedded | None, home: Path) -> None:
    ours = before is not None and home / before.binding.name == source
    if before is None or not ours:
        raise InputError(
            f"{source} is in the way: `edge embed` has not written it; move it away or give another --package"
        )
    if not source.is_file() or file_digest(source) != before.binding.sha256:
        raise InputError(
            f"{source} is generated and was changed by hand; move it away, and put your own code elsewhere"
        )


def _remove_source(source: Path, before: Embedded) -> None:
    """Remove the binding of another package or type that an earlier run wrote; one that was changed stays."""
    if source.is_file() and file_digest(source) == before.binding.sha256:
        with disk_errors(source, _ELSEWHERE):
            source.unlink()


def _copy(artifact: Artifact, files: Sequence[FileEntry], to: Path) -> None:
    """Copy files and hash what arrives; raises InputError for a file that changed meanwhile."""
    for entry in files:
        target = to / entry.name
        with disk_errors(target, _ELSEWHERE):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with disk_errors(target, _ELSEWHERE):
                shutil.copyfile(artifact.root / entry.name, target)
                _flush(target)
        except OSError as error:
            raise StoreError(f"{artifact.root / entry.name} cannot be copied: {error.strerror}; try again") from error
        if file_digest(target) != entry.sha256:
            raise InputError(f"{artifact.root / entry.name} changed while it was copied; deploy it again")


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
