"""The output folder of a deploy: one writer at a time, unfinished work apart, finished work in one step."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from edge.disk import disk_errors
from edge.errors import UsageError

_ELSEWHERE = "choose another --out"
_STAGING, _ASIDE = ".staging-", ".old"


@contextlib.contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Hold the output folder's lock; a second deploy into it is refused at once."""
    lock = FileLock(out / ".lock", timeout=0)
    try:
        with disk_errors(out, _ELSEWHERE):
            out.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except Timeout:
        raise UsageError(f"another deploy is writing into {out}; wait for it or choose another --out") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A folder inside `out` for unfinished work; what an earlier, killed run left there is removed first."""
    for left in out.glob(f"{_STAGING}*"):
        _remove(left, out)
    with disk_errors(out, _ELSEWHERE):
        folder = Path(tempfile.mkdtemp(dir=out, prefix=_STAGING))
    try:
        yield folder
    finally:
        _remove(folder, out)


def _remove(staging: Path, out: Path) -> None:
    """Remove a staging folder, but first move back what was put aside and never replaced."""
    for aside in staging.glob(f"*{_ASIDE}"):
        target = out / aside.name.removesuffix(_ASIDE)
        if not target.exists():
            with disk_errors(target, _ELSEWHERE):
                aside.rename(target)
    shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """The path of a folder to make, which becomes `out` at the end; its parent has room for unfinished work.

    Nothing else is left, whatever happens. Raises UsageError if `out` exists, StoreError.
    """
    if out.exists():
        raise UsageError(f"{out} exists; choose a new --out folder")
    with disk_errors(out, _ELSEWHERE):
        out.parent.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True)
    with work:
        made = Path(work.name) / "made"
        yield made
        with disk_errors(out, _ELSEWHERE):
            made.rename(out)


def publish_file(source: Path, target: Path) -> None:
    """Move a finished file to its place; raises StoreError."""
    with disk_errors(target, _ELSEWHERE):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def publish_folder(source: Path, target: Path, aside: Path) -> None:
    """Move a finished folder to its place; one that is there goes `aside` first. Raises StoreError.

    `aside` is NAME.old in the staging folder: should the run be killed between the two moves, the next one that
    stages there moves it back.
    """
    with disk_errors(target, _ELSEWHERE):
        if target.exists():
            target.rename(aside)
        source.rename(target)
