"""What a bisection found, as it is printed, drawn and written to JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge.artifact import Mode


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One matched tensor. Errors are rms of the difference over rms of the right value; huge for what is no number."""

    depth: int  # position of its operator in the program
    node: str
    op: str
    shape: tuple[int, ...]
    tap: str  # what the artifact's file calls the tensor
    kind: str  # what the runtime calls the operator that computed it
    how: Literal["name", "value", "output"]
    accumulated: float  # against eager PyTorch run from the inputs
    sqnr_db: float  # of the same
    own: float  # against eager PyTorch run on the artifact's own tensors
    excess: float  # own error beyond the tensor's own steps
    stretch: tuple[str, ...]  # the operators between the matched tensors before it and this one


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact against eager PyTorch."""

    artifact: str
    target: str
    precision: str
    mode: Mode
    rows: tuple[Row, ...]
    unmatched: tuple[str, ...]  # tensors of the artifact that are no operator's result: "name (kind)"
    hidden: tuple[str, ...]  # operators of the program without a tensor in the artifact: fused or folded
    allowance: float
    first: int | None  # index into rows
    notes: tuple[str, ...] = ()

    @property
    def divergence(self) -> Row | None:
        """Return the first row that diverges."""
        return None if self.first is None else self.rows[self.first]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor that both artifacts have: how far the second is from the first, over the rms of the first."""

    node: str
    depth: int
    difference: float


class Bisection(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `edge bisect`: the operator, whose fault it is, and all that was compared."""

    model: str
    inputs: str  # where the one input came from
    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...] = ()
    operator: str = ""  # the first that diverges; empty if none does
    op: str = ""
    stretch: tuple[str, ...] = ()
    artifact: str = ""  # the side that diverges there
    verdict: str = ""
    reproducer: str = ""

    @property
    def diverges(self) -> bool:
        """Say whether an operator diverges."""
        return bool(self.operator)
