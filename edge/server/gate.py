"""Who may ask for which model, and how often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from edge.server.rates import Rates
from edge.server.token_file import TokenFile

LOGGER = "ray.serve"  # what Ray Serve writes to its files as JSON


class OpenGate:
    """Let everyone in: the gate of an insecure server on loopback."""

    def admit(self, authorization: str | None, scope: str) -> str:
        """Return that nobody in particular asks."""
        return ""

    def share(self, replicas: int) -> None:
        """Take note of how many replicas there are."""


class TokenGate:
    """Let in who has a token that covers the scope, as often as it may; used from one event loop."""

    def __init__(self, tokens: Path) -> None:
        """Read the tokens; raises InputError."""
        self._file, self._rates, self._told = TokenFile(tokens), Rates(), ""

    def admit(self, authorization: str | None, scope: str) -> str:
        """Return the token's id; raises Unauthenticated, Forbidden, TooManyRequests."""
        grant = self._file.current().authorize(authorization, scope, time.time())
        if self._file.problem != self._told:
            self._told = self._file.problem
            logging.getLogger(LOGGER).warning("tokens: %s", self._told or "the file can be read again")
        self._rates.take(grant)
        return grant.id

    def share(self, replicas: int) -> None:
        """Take an equal part of every token's limit, which is that of all replicas of a model together."""
        self._rates.share = 1 / max(1, replicas)


Gate = OpenGate | TokenGate
Admit = Callable[[str | None, str], str]  # the header Authorization and a scope → who asks; raises ServeError


def open_gate(tokens: str) -> Gate:
    """Return the gate of a file of tokens; without one everyone may pass. Raises InputError."""
    return TokenGate(Path(tokens)) if tokens else OpenGate()
