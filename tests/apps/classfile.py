"""Write class files that hold declarations only: what a compiler reads of a library, without its code."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

PUBLIC, STATIC, FINAL, SUPER, VARARGS, NATIVE, INTERFACE, ABSTRACT = 0x1, 0x8, 0x10, 0x20, 0x80, 0x100, 0x200, 0x400
_NULLABLE = "Lorg/jetbrains/annotations/Nullable;"
_MAJOR = 52  # Java 8


@dataclass(frozen=True, slots=True)
class Member:
    """A field or a method; `descriptor` is erased, `signature` generic and empty where it would say nothing more.

    `slots` is how many locals a body needs; None has no body. A body only throws: `aconst_null; athrow`.
    """

    name: str
    descriptor: str
    access: int
    signature: str = ""
    nullable: bool = False
    slots: int | None = None


@dataclass(frozen=True, slots=True)
class Inner:
    """A nested class: its full name, its outer class's, and its own."""

    name: str
    outer: str
    simple: str
    access: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFile:
    """A class without code; names are internal ones, such as android/view/View."""

    name: str
    access: int
    parent: str
    interfaces: Sequence[str]
    signature: str
    fields: Sequence[Member]
    methods: Sequence[Member]
    inner: Sequence[Inner] = ()

    def encode(self) -> bytes:
        """Return the class file (JVM specification, chapter 4)."""
        pool = _Pool()
        body = struct.pack(">HHH", self.access, pool.type(self.name), pool.type(self.parent))
        body += _counted([struct.pack(">H", pool.type(name)) for name in self.interfaces])
        body += _counted([_member(pool, item) for item in self.fields])
        body += _counted([_member(pool, item) for item in self.methods])
        attributes = [_attribute(pool, "Signature", struct.pack(">H", pool.text(self.signature)))]
        if self.inner:
            rows = [
                struct.pack(">HHHH", pool.type(i.name), pool.type(i.outer), pool.text(i.simple), i.access)
                for i in self.inner
            ]
            attributes.append(_attribute(pool, "InnerClasses", _counted(rows)))
        body += _counted(attributes)
        return b"\xca\xfe\xba\xbe" + struct.pack(">HHH", 0, _MAJOR, pool.count) + bytes(pool.data) + body


@dataclass(slots=True)
class _Pool:
    """The constants of one class; equal ones are stored once."""

    data: bytearray = field(default_factory=bytearray)
    count: int = 1  # entry 0 does not exist
    _known: dict[bytes, int] = field(default_factory=dict)

    def text(self, value: str) -> int:
        encoded = value.encode()
        return self._add(b"\x01" + struct.pack(">H", len(encoded)) + encoded)

    def type(self, name: str) -> int:
        return self._add(b"\x07" + struct.pack(">H", self.text(name)))

    def _add(self, entry: bytes) -> int:
        if entry not in self._known:
            self._known[entry] = self.count
            self.count += 1
            self.data += entry
        return self._known[entry]


def _counted(items: Sequence[bytes]) -> bytes:
    return struct.pack(">H", len(items)) + b"".join(items)


def _attribute(pool: _Pool, name: str, data: bytes) -> bytes:
    return struct.pack(">HI", pool.text(name), len(data)) + data


def _member(pool: _Pool, item: Member) -> bytes:
    attributes = []
    if item.signature:
        attributes.append(_attribute(pool, "Signature", struct.pack(">H", pool.text(item.signature))))
    if item.nullable:
        attributes.append(
            _attribute(pool, "RuntimeInvisibleAnnotations", struct.pack(">HHH", 1, pool.text(_NULLABLE), 0))
        )
    if item.slots is not None:
        code = struct.pack(">HHI", 1, item.slots, 2) + b"\x01\xbf" + struct.pack(">HH", 0, 0)
        attributes.append(_attribute(pool, "Code", code))
    head = struct.pack(">HHH", item.access, pool.text(item.name), pool.text(item.descriptor))
    return head + _counted(attributes)
