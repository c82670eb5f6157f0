"""Finished builds in the cache: an artifact with its row of the report, for the next run with the same key."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from edge.artifact import check_files, encode_json, read_manifest, write_atomic
from edge.errors import InputError
from edge.report.records import TargetReport
from edge.store import cached_folder, keep_folder

RESULT = "result.json"
ARTIFACT = "artifact"  # the artifact's folder below a build's


def keep_result(key: str, row: TargetReport, folder: Path) -> None:
    """Write a build's row beside its artifact and keep both in the cache; what differs from the model does so again."""
    write_atomic(folder / RESULT, encode_json(row))
    keep_folder("artifacts", key, folder)


def cached_result(key: str, folder: Path) -> TargetReport | None:
    """Copy an earlier result whose files are still what their manifest says; drop one that was damaged."""
    found = cached_folder("artifacts", key)
    if found is None:
        return None
    shutil.copytree(found, folder)
    try:
        check_files(read_manifest(folder / ARTIFACT))
        row = msgspec.json.decode((folder / RESULT).read_bytes(), type=TargetReport)
    except (InputError, OSError, msgspec.DecodeError):
        shutil.rmtree(folder)
        shutil.rmtree(found, ignore_errors=True)
        return None
    return msgspec.structs.replace(row, cached=True)
