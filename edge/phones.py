"""Phones, the chips in them and their NPUs; the data are in phones.toml, convert.choice derives the targets."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from edge.errors import ContractError, UnknownName

T = TypeVar("T")
DATA = Path(__file__).with_name("phones.toml")
Vendor = Literal["qualcomm", "mediatek", "samsung", "google", "apple"]
System = Literal["android", "ios"]


class Soc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Describe a chip; `id` is the model number that its maker and the compilers use."""

    id: str
    name: str
    vendor: Vendor
    npu: str  # generation of the NPU
    htp_arch: int | None = None  # version of a Qualcomm Hexagon, where it is known
    npu_fp16: bool = True  # whether the NPU computes in float16
    aliases: tuple[str, ...] = ()
    no_npu_target: str = ""  # why no compiler of the kit takes the chip

    @property
    def names(self) -> tuple[str, ...]:
        """Return every model number of this chip, its id first."""
        return (self.id, *self.aliases)


class Phone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Describe a phone; exactly one of `android` (API level) and `ios` (version) says what it was first sold with."""

    id: str
    name: str
    year: Annotated[int, msgspec.Meta(ge=2021, le=2026)]
    soc: Soc
    ram_gb: Annotated[int, msgspec.Meta(ge=1, le=64)]  # of the smallest model
    android: int | None = None
    ios: str | None = None

    @property
    def system(self) -> System:
        """Return the operating system."""
        return "ios" if self.android is None else "android"

    @property
    def os_floor(self) -> str:
        """Return the oldest system that any unit runs, for people."""
        return f"iOS {self.ios}" if self.android is None else f"Android API {self.android}"


class Considered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say of one target or target family why it was taken or not."""

    target: str
    verdict: str


class PhoneChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Record in report.json what was built for a phone and why; builds are written TARGET@PRECISION."""

    phone: str
    soc: str
    chosen: str
    fallback: str = ""  # empty if no CPU target is ready
    considered: tuple[Considered, ...] = ()


def socs() -> Mapping[str, Soc]:
    """Return every chip by its id."""
    return _load()[0]


def phones() -> Mapping[str, Phone]:
    """Return every phone by its id, in the order of the data file."""
    return _load()[1]


def find_phone(name: str) -> Phone:
    """Return a phone by its id; raises UnknownName with the closest ones."""
    try:
        return phones()[name]
    except KeyError:
        raise UnknownName("phone", name, phones(), "edge phones") from None


def read_phones(text: str, origin: str) -> tuple[Mapping[str, Soc], Mapping[str, Phone]]:
    """Return the chips and phones of a phones.toml; raises ContractError naming the entry that is wrong."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ContractError(f"{origin}: {error}") from None
    if unknown := sorted(set(data) - {"soc", "phone"}):
        raise ContractError(f"{origin}: unknown table {unknown[0]!r}; expected soc and phone")
    chips = {name: _convert({"id": name, **entry}, Soc, origin) for name, entry in data.get("soc", {}).items()}
    found = {name: _phone({"id": name, **entry}, chips, origin) for name, entry in data.get("phone", {}).items()}
    return MappingProxyType(chips), MappingProxyType(found)


@functools.cache
def _load() -> tuple[Mapping[str, Soc], Mapping[str, Phone]]:
    return read_phones(DATA.read_text(encoding="utf-8"), DATA.name)


def _phone(entry: Mapping[str, Any], chips: Mapping[str, Soc], origin: str) -> Phone:
    soc = str(entry.get("soc", ""))
    if soc not in chips:
        raise ContractError(f"{origin}: {entry['id']}: its chip {soc!r} is not in the soc table")
    phone = _convert({**entry, "soc": chips[soc]}, Phone, origin)
    if (phone.android is None) == (phone.ios is None):
        raise ContractError(f"{origin}: {phone.id}: exactly one of android and ios is needed")
    if (phone.system == "ios") != (phone.soc.vendor == "apple"):
        raise ContractError(f"{origin}: {phone.id}: {phone.os_floor} on a chip of {phone.soc.vendor} ({soc})")
    return phone


def _convert(entry: Mapping[str, Any], record: type[T], origin: str) -> T:
    try:
        return msgspec.convert(entry, record)
    except msgspec.ValidationError as error:
        raise ContractError(f"{origin}: {entry['id']}: {error}") from None
