"""Which operators a `mixed` build keeps out of 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.errors import Refused

if TYPE_CHECKING:
    from convert.program import Program

_SHOWN = 3


def kept_operators(program: Program, precision: str) -> frozenset[str]:
    """Return the names of the operators that a program's recipe keeps out of 8 bits.

    Raises Refused for a name that is no operator of the program, and for names with another precision than mixed.
    """
    from convert.delegation import operator_nodes

    kept = program.recipe.kept
    if kept and precision != "mixed":
        raise Refused(f"{precision} keeps no operators, but the recipe names {_listed(kept)}; mixed does")
    known = {node.name for node in operator_nodes(program)}
    if unknown := [name for name in kept if name not in known]:
        raise Refused(
            f"{_listed(unknown)} in the recipe of {program.name}: no such operator; its {len(known)} operators are "
            f"named like {_listed(sorted(known))}"
        )
    return frozenset(kept)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
