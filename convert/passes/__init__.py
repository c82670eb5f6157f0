"""Graph passes over exported programs: one pass a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convert.program import Program


def optimize(program: Program, target_runtime: str) -> Program:
    """Return the program as it is best given to a runtime."""
    return program
