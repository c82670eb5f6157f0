"""What `edge embed` writes down: embed.json in the project, and its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from edge.artifact import FileEntry
from edge.embed.checks import Finding
from edge.errors import InputError
from edge.phones import System

RECORD = "embed.json"


class Embedded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model in an app: its artifact's folder among the models, and the binding, as they were written."""

    name: str  # of the folder
    type: str  # of the binding
    model: str
    target: str
    precision: str
    sha256: str  # of manifest.json, which has the hashes of all files
    bytes: int  # of all files
    files: tuple[FileEntry, ...]  # with the manifest
    binding: FileEntry  # its name is relative to embed.json's folder


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `edge embed` has put into a project, so that it replaces nothing else."""

    schema: Literal[1] = 1
    models: tuple[Embedded, ...] = ()


class Lines(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The three lines that the developer adds for one model; the first two may be empty where nothing is to be done."""

    dependency: str
    packaging: str
    call: str


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was done for one artifact."""

    model: Embedded
    state: Literal["added", "replaced", "unchanged"]
    folder: str  # relative to the project
    binding: str
    lines: Lines


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of `edge embed`."""

    system: System
    project: str  # its kind
    minimum: str  # of the project; empty where it is not known
    models: tuple[Change, ...]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(finding.verdict != "failed" for finding in self.findings)


def read_record(folder: Path) -> Record:
    """Return a folder's embed.json, or an empty record; raises InputError for one that is not valid."""
    path = folder / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return Record()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; allow it") from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InputError(f"{path} is not a record of schema 1: {error}; bring it back from version control") from None
