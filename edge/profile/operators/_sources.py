"""From a runtime's operators back to those of the exported program, where the mapping can be proved."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge.delegation import Operator

_PADDING = 8  # NCHWc kernels pad channels to 8 or 16: they may multiply that much more
_DECORATION = re.compile(r"^node_|_(?:nchwc|quant|QuantizeLinear|DequantizeLinear)$|_token_\d+$")


def source_names(names: Sequence[str], macs: Sequence[int | None], delegated: Sequence[Operator]) -> tuple[str, ...]:
    """Return the exported program's operator of every node, or an empty string.

    Nodes that multiply are paired with the operators that do, in order, if there are as many and every pair's
    multiply-accumulates agree (padding aside); otherwise by name, with the same agreement. The
    others are known by their names.
    """
    known = {operator.name for operator in delegated}
    plain = [_plain(name, known) for name in names]
    places = [index for index, count in enumerate(macs) if count != 0]
    multiplying = [operator for operator in delegated if operator.macs]
    pairs = paired([macs[index] for index in places], [operator.macs for operator in multiplying])
    for index, pair in zip(places, pairs, strict=True):
        if pair is not None:
            plain[index] = multiplying[pair].name
    if any(pair is not None for pair in pairs):
        return tuple(plain)
    before = _multiplying_before(delegated)
    for index in places:  # a runtime orders branches as it likes, and names a fused pair by its activation
        operator_before = before.get(plain[index])
        if operator_before is not None and agreeing([macs[index]], [operator_before.macs]):
            plain[index] = operator_before.name
    return tuple(plain)


def _multiplying_before(delegated: Sequence[Operator]) -> dict[str, Operator]:
    """Return, for every operator, the last one up to it that multiplies."""
    found: dict[str, Operator] = {}
    last: Operator | None = None
    for operator in delegated:
        last = operator if operator.macs else last
        if last is not None:
            found[operator.name] = last
    return found


def paired(found: Sequence[int | None], expected: Sequence[int]) -> list[int | None]:
    """Return, for each count of multiply-accumulates, the place of the expected one that it stands for, or None.

    All agree in order; or as many are there, equal ones in the same place are pairs, and those out of place are if
    no other there has their count: compilers exchange neighbours of different branches.
    """
    if agreeing(found, expected):
        return list(range(len(found)))
    if len(found) != len(expected):
        return [None] * len(found)
    pairs: list[int | None] = [place if count == expected[place] else None for place, count in enumerate(found)]
    left = [place for place, pair in enumerate(pairs) if pair is None]
    counts, wanted = [found[place] for place in left], [expected[place] for place in left]
    for place in left:
        count = found[place]
        if count is not None and counts.count(count) == 1 and wanted.count(count) == 1:
            pairs[place] = left[wanted.index(count)]
    return pairs


def agreeing(found: Sequence[int | None], expected: Sequence[int]) -> bool:
    """Say whether two lists of multiply-accumulates are one program's, in one order."""
    return len(found) == len(expected) and all(
        count is not None and wanted <= count <= _PADDING * wanted
        for count, wanted in zip(found, expected, strict=True)
    )


def _plain(name: str, known: set[str]) -> str:
    while name not in known:
        shorter = _DECORATION.sub("", name, count=1)
        if shorter == name:
            return ""
        name = shorter
    return name
