"""Bearer tokens, of which a file keeps the hashes: who may call which model, how often and until when.

A token is shown once, when it is made. A client has two of them for as long as it changes from one to the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from filelock import FileLock

from edge.artifact import encode_json, write_atomic
from edge.disk import disk_errors
from edge.errors import InputError, UnknownName, UsageError
from edge.serve.errors import Forbidden, Unauthenticated
from edge.server.config import METRICS

PREFIX = "edk_"  # what scanners of source code and logs look for: edk_[A-Za-z0-9_-]{43}
EVERY_MODEL = "*"
LIVE = 2  # tokens of one client at once
_BYTES = 32
_MODE = 0o600
# Others may not read or write the file, and its group may not write it. A Secret in Kubernetes belongs to a group.
_TOO_OPEN = 0o027
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]{1,512}={0,2})")
_CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SCOPE = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
PerMinute = Annotated[int, msgspec.Meta(ge=1, le=60_000_000)]
Scope = Annotated[str, msgspec.Meta(pattern=f"^({_SCOPE.pattern})$")]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen, keyword-only, and an unknown key is an error."""


class Token(_Record, kw_only=True):
    """Keep what one token may do; `expires` is its last day (UTC)."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
    client: Annotated[str, msgspec.Meta(pattern=f"^({_CLIENT.pattern})$")]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    models: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1)] = (EVERY_MODEL,)
    requests_per_minute: PerMinute | None = None  # none: any number
    created: date
    expires: date | None = None

    def covers(self, scope: str) -> bool:
        """Say whether the token reaches a model, or the page of metrics."""
        return scope in self.models or (scope != METRICS and EVERY_MODEL in self.models)

    def is_live(self, now: float) -> bool:
        """Say whether the token holds at a time, in seconds since 1970."""
        return self.expires is None or _day(now) <= self.expires


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Say which token let a request in, and how often it may."""

    id: str
    client: str
    requests_per_minute: int | None = None


class _File(_Record):
    schema: Literal[1] = 1
    tokens: tuple[Token, ...] = ()


class Tokens:
    """Hold the tokens of one file, by their hashes."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tuple(tokens)
        self._by_digest = {bytes.fromhex(token.sha256): token for token in tokens}

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """Read a file of `edge token`; raises InputError if it is no such file or open to others."""
        try:
            with path.open("rb") as stream:
                mode = os.fstat(stream.fileno()).st_mode & 0o777
                content = stream.read()
        except OSError as error:
            raise InputError(
                f"{path} cannot be read: {error.strerror}; allow it, or make it: `edge token new NAME --file {path}`"
            ) from None
        if mode & _TOO_OPEN:
            raise InputError(f"{path} is open to others, with mode {mode:04o}; close it with `chmod 600 {path}`")
        try:
            tokens = msgspec.json.decode(content, type=_File).tokens
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"{path} is no file of tokens: {error}; make one with `edge token new`") from None
        for name in ("id", "sha256"):
            values = [getattr(token, name) for token in tokens]
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                raise InputError(f"{path}: {name} {min(twice)} is there twice; remove one of the two entries")
        return cls(tokens)

    def authorize(self, header: str | None, scope: str, now: float) -> Grant:
        """Return what lets a request in; `header` is the value of Authorization, `scope` a model's name or METRICS.

        `now` is in seconds since 1970. Raises Unauthenticated without a token that is known and live, Forbidden for one
        without a right to `scope`. No message holds the token.
        """
        if not header:
            raise Unauthenticated("there is no token; send the header Authorization: Bearer TOKEN")
        found = _BEARER.fullmatch(header)
        if found is None:
            raise Unauthenticated("the header Authorization is not of the form Bearer TOKEN")
        token = self._find(found[1])
        if token is None:
            raise Unauthenticated("the token is not known here; `edge token new` makes one")
        if not token.is_live(now):
            raise Unauthenticated(f"token {token.id} expired on {token.expires}; `edge token new` makes another")
        if not token.covers(scope):
            raise Forbidden(f"token {token.id} has no right to {scope}; it has one to {', '.join(token.models)}")
        return Grant(id=token.id, client=token.client, requests_per_minute=token.requests_per_minute)

    def _find(self, text: str) -> Token | None:
        """Look a token up by its hash: how long that takes says nothing, as nobody can choose a hash's first bytes."""
        digest = _digest(text)
        token = self._by_digest.get(digest)
        return token if token is not None and hmac.compare_digest(bytes.fromhex(token.sha256), digest) else None


def new_token(
    path: Path,
    client: str,
    now: float,
    *,
    models: Sequence[str] = (),
    requests_per_minute: int | None = None,
    expires: date | None = None,
) -> tuple[str, Token]:
    """Make a token, add its hash to the file and return both; the text exists nowhere else.

    Without models it reaches every one. Raises UsageError for a name or scope that is not one, a day that has passed,
    and a client that has two tokens already; InputError, StoreError.
    """
    if not _CLIENT.fullmatch(client):
        raise UsageError(f"client name {client!r} is not one; use up to 64 letters, digits, '.', '_' and '-'")
    wrong = [scope for scope in models if not _SCOPE.fullmatch(scope)]
    if wrong:
        raise UsageError(f"model name {wrong[0]!r} is not one; use letters, digits, '.', '_' and '-', or '*' for all")
    if expires is not None and expires < _day(now):
        raise UsageError(f"{expires} has passed; give --expires a day from {_day(now)} on, or leave it out")
    text = PREFIX + secrets.token_urlsafe(_BYTES)
    digest = _digest(text).hex()
    token = Token(
        id=f"{client}-{digest[:8]}",
        client=client,
        sha256=digest,
        models=tuple(dict.fromkeys(models)) or (EVERY_MODEL,),
        requests_per_minute=requests_per_minute,
        created=_day(now),
        expires=expires,
    )
    with _locked(path):
        tokens = Tokens.read(path).tokens if path.exists() else ()
        live = [other.id for other in tokens if other.client == client and other.is_live(now)]
        if len(live) >= LIVE:
            raise UsageError(
                f"{client} has {len(live)} tokens already: {', '.join(live)}; "
                f"`edge token revoke {live[0]} --file {path}` ends one"
            )
        _write(path, (*tokens, token))
    return text, token


def revoke_token(path: Path, identifier: str) -> Token:
    """Take a token out of the file and return it; raises UnknownName, InputError, StoreError."""
    with _locked(path):
        tokens = Tokens.read(path).tokens
        found = [token for token in tokens if token.id == identifier]
        if not found:
            raise UnknownName("token", identifier, [token.id for token in tokens], f"edge token list --file {path}")
        _write(path, tuple(token for token in tokens if token.id != identifier))
    return found[0]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep two commands from losing each other's change."""
    with disk_errors(path.parent, "choose another --file"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write(path: Path, tokens: tuple[Token, ...]) -> None:
    write_atomic(path, encode_json(_File(tokens=tokens)), _MODE)


def _digest(text: str) -> bytes:
    """Hash a token once: of 256 random bits no dictionary exists, so salt and a slow hash, as passwords need, add only
    time to every request.
    """
    return hashlib.sha256(text.encode()).digest()


def _day(now: float) -> date:
    return datetime.fromtimestamp(now, UTC).date()
