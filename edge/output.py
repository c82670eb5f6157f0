"""The output folder of a deploy: one writer at a time, unfinished work apart, finished work in one step."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from edge.errors import StoreError, UsageError


@contextlib.contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Hold the output folder's lock; a second deploy into it is refused at once."""
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"another deploy is writing into {out}; wait for it or choose another --out") from None
    except OSError as error:
        raise StoreError(f"cannot write into {out}: {error.strerror}; choose another --out") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A folder inside `out` for unfinished work; what an earlier, killed run left there is removed first."""
    for left in out.glob(".staging-*"):
        shutil.rmtree(left, ignore_errors=True)
    with (
        disk_errors(out),
        tempfile.TemporaryDirectory(dir=out, prefix=".staging-", ignore_cleanup_errors=True) as folder,
    ):
        yield Path(folder)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write into {path}: {error.strerror or error}; free some space or choose another --out"
        ) from error


def publish_file(source: Path, target: Path) -> None:
    """Move a finished file to its place; raises StoreError."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def publish_folder(source: Path, target: Path, aside: Path) -> None:
    """Move a finished folder to its place; one that is there goes `aside` first. Raises StoreError."""
    with disk_errors(target):
        if target.exists():
            target.rename(aside)
        source.rename(target)
