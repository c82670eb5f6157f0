"""The operators that a recipe keeps from 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convert.delegation import operator_nodes
from edge.errors import Refused

if TYPE_CHECKING:
    from convert.program import Program


def kept_operators(program: Program, precision: str) -> frozenset[str]:
    """Return the recipe's `kept`; raises Refused for a name that is no operator, or with a precision but `mixed`."""
    kept = program.recipe.kept
    if kept and precision != "mixed":
        raise Refused(f"{precision} keeps no operators from 8 bits ({kept[0]} was named); ask for mixed")
    known = {node.name for node in operator_nodes(program)}
    for name in kept:
        if name not in known:
            raise Refused(
                f"{program.name} has no operator {name!r} to keep from 8 bits; its operators are "
                f"{', '.join(sorted(known)[:5])} … ({len(known)}): `edge deploy` lists them in delegation.json"
            )
    return frozenset(kept)
