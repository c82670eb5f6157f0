"""Published measurements of a network or one near it on phones one does not have; the facts are in reference.toml."""

from __future__ import annotations

import datetime
import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from edge.delegation import Unit
from edge.errors import ContractError

DATA = Path(__file__).with_name("reference.toml")
Nearness = Literal["same", "variant", "part", "task"]
_ORDER: tuple[Nearness, ...] = ("same", "variant", "part", "task")
MEANING: Mapping[Nearness, str] = {
    "same": "the same network",
    "variant": "a variant of the network",
    "part": "a part of the network",
    "task": "another network for the same task",
}
_NPU = ("qnn", "qualcomm", "mediatek", "samsung", "google-tensor", "ethos", "openvino", "coreml", "coreai")
_GPU = ("vulkan", "gpu")


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frozen, and an unknown key is an error."""


class _Row(_Record, kw_only=True):
    device: str
    soc: str
    runtime: str
    precision: str  # in the source's words
    unit: Unit
    latency_ms: float


class _Source(_Record, kw_only=True):
    model: str
    address: str
    date: datetime.date
    dated: Literal["published", "read"]
    measured: str
    rows: tuple[_Row, ...]


class _Model(_Record, kw_only=True):
    title: str


class _Near(_Record, kw_only=True):
    model: str
    published: str
    how: Nearness
    difference: str


class _Table(_Record, kw_only=True):
    model: dict[str, _Model]
    near: tuple[_Near, ...]
    source: tuple[_Source, ...]


class Reference(_Record, kw_only=True):
    """A figure that somebody published, where, and how near its network is to the one that was asked for."""

    model: str  # as the source calls it, with its input
    device: str
    soc: str
    runtime: str
    precision: str  # in the source's words
    unit: Unit
    latency_ms: float
    measured: str
    address: str
    date: datetime.date
    dated: Literal["published", "read"]  # the date is the source's own, or the day it was read
    nearness: Nearness
    difference: str


class References(_Record, kw_only=True):
    """What is published that is near a network; `reason` says why there is nothing."""

    asked: str
    found: tuple[Reference, ...]
    reason: str = ""


def find_references(model: str, target: str = "") -> References:
    """Return published figures for a model of the kit, nearest network first.

    The name is looked up, then the longest known name that it begins with, as `blazepose-full-mine` begins with
    `blazepose-full`. Of equally near sources those come first that tell of the unit which the target runs on.
    Nothing is scaled to another device or precision.
    """
    table = read_table()
    known = {near.model for near in table.near}
    name = max((one for one in known if model == one or model.startswith(f"{one}-")), key=len, default="")
    if not name:
        reason = f"no published figure of {model!r} or a network near it is known; there are some for " + ", ".join(
            sorted(known)
        )
        return References(asked=model, found=(), reason=reason)
    unit = _unit(target)
    pairs = [(near, source) for near in table.near if near.model == name for source in table.source]
    pairs = [(near, source) for near, source in pairs if source.model == near.published]

    def rank(pair: tuple[_Near, _Source]) -> tuple[int, bool]:
        return _ORDER.index(pair[0].how), all(row.unit != unit for row in pair[1].rows)

    found = [
        _reference(table, near, source, row)
        for near, source in sorted(pairs, key=rank)
        for row in sorted(source.rows, key=lambda row: row.unit != unit)
    ]
    return References(asked=model, found=tuple(found))


def _unit(target: str) -> Unit | None:
    """Return the unit that a target is made for."""
    if not target:
        return None
    if any(word in target for word in _NPU):
        return "npu"
    return "gpu" if any(word in target for word in _GPU) else "cpu"


def _reference(table: _Table, near: _Near, source: _Source, row: _Row) -> Reference:
    return Reference(
        model=table.model[source.model].title,
        device=row.device,
        soc=row.soc,
        runtime=row.runtime,
        precision=row.precision,
        unit=row.unit,
        latency_ms=row.latency_ms,
        measured=source.measured,
        address=source.address,
        date=source.date,
        dated=source.dated,
        nearness=near.how,
        difference=near.difference,
    )


@functools.cache
def read_table() -> _Table:
    """Return the facts; raises ContractError if the table is broken."""
    try:
        return msgspec.convert(tomllib.loads(DATA.read_text(encoding="utf-8")), type=_Table)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ContractError(f"{DATA.name}: {error}") from None
