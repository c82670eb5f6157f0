"""A file of tokens that changes while the server runs: a revoked token ends without a restart."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from edge.errors import InputError
from edge.server.tokens import Tokens

LOOK_EVERY_S = 5.0


class TokenFile:
    """Return a file's tokens, read again when it has changed; used from one event loop.

    The file is looked at every `LOOK_EVERY_S` seconds of `clock` at most. While it cannot be read, the tokens that
    were read last hold and `problem` says why.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file; raises InputError."""
        self.problem = ""
        self._path, self._clock = path, clock
        self._looked, self._seen = clock(), _identity(path)
        self._tokens = Tokens.read(path)

    def current(self) -> Tokens:
        """Return the tokens that hold now."""
        now = self._clock()
        if now - self._looked < LOOK_EVERY_S:
            return self._tokens
        self._looked = now
        seen = _identity(self._path)
        if seen != self._seen or self.problem:
            try:
                self._tokens, self.problem = Tokens.read(self._path), ""
            except InputError as error:
                self.problem = str(error)
            self._seen = seen
        return self._tokens


def _identity(path: Path) -> tuple[int, int, int]:
    """Return what differs after a change; a Secret in Kubernetes changes by a link to another file."""
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)
