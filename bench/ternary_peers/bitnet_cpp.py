"""bitnet.cpp's I2_S: named so that its absence is seen."""

from __future__ import annotations

from bench.ternary_peers import Missing, Peer, Prepared, Problem


def _prepare(problem: Problem, threads: int) -> Prepared:
    raise Missing("no package carries its source")


PEERS = (Peer("bitnet.cpp I2_S", _prepare),)


def version() -> str:
    """Return what is missing."""
    return "bitnet.cpp: missing"
