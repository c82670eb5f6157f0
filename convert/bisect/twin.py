"""Taps of compilers whose artifacts are opaque: the same program compiled again with more outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edge.errors import Unexecutable
from edge.runtimes._taps import Taps

if TYPE_CHECKING:
    from convert.program import Program
    from convert.reference import Arrays
    from edge.artifact import Artifact

TWINS: Mapping[str, Callable[..., Taps]] = {}


def twin_taps(artifact: Artifact, program: Program, inputs: Arrays) -> Taps:
    raise Unexecutable(str(artifact.root), ["not yet"])
