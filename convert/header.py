"""What is known of a program without loading it (and so without importing torch)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge.artifact import Source, Step, encode_json, write_atomic
from edge.codebooks import codebook_at
from edge.contract import Contract
from edge.errors import InputError

HEADER = "program.json"


class Header(msgspec.Struct, frozen=True):
    """Name a program, its contract, its source and the steps that shaped it."""

    name: str
    contract: Contract
    source: Source
    steps: tuple[Step, ...]


def write_header(folder: Path, header: Header) -> None:
    """Write program.json."""
    write_atomic(folder / HEADER, encode_json(header))


def read_header(folder: Path) -> Header:
    """Read program.json; raises InputError if the folder holds no program."""
    path = folder / HEADER
    try:
        header = msgspec.json.decode(path.read_bytes(), type=Header)
    except OSError as error:
        raise InputError(
            f"{folder} holds no program ({HEADER}: {error.strerror}); make one with `edge export`"
        ) from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: {error}; make it again with `edge export`") from None
    codebook_at(header.contract.postprocess, folder)
    return header
