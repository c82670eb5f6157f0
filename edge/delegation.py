"""Who runs each operator: the records of delegation.json and its summary in every manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import msgspec

Unit = Literal["npu", "gpu", "cpu"]
UNITS: tuple[Unit, ...] = ("npu", "gpu", "cpu")
DELEGATION = "delegation.json"


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Place one operator of the exported program."""

    name: str  # of its node
    op: str
    unit: Unit
    backend: str
    macs: int = 0  # multiply-accumulates of one inference
    reason: str = ""  # why the accelerator refused it, in the compiler's own words where it says
    hint: str = ""  # the rewrite that would make it accepted, where one is known


class DelegationReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every operator of the exported program in execution order; written as delegation.json."""

    schema: Literal[1] = 1
    target: str
    operators: tuple[Operator, ...]


class Rejected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name operators that the accelerator refused."""

    op: str
    count: int
    reason: str = ""
    hint: str = ""


class Delegation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Count operators and multiply-accumulates by the unit that runs them."""

    ops: int
    by_unit: dict[str, int]
    macs: int = 0
    macs_by_unit: dict[str, int] = {}
    by_backend: dict[str, int] = {}
    rejected: tuple[Rejected, ...] = ()

    def share(self, unit: str) -> float:
        """Return the percentage of the multiply-accumulates, or of the operators if there are none, on a unit."""
        counts, total = (self.macs_by_unit, self.macs) if self.macs else (self.by_unit, self.ops)
        return 100.0 * counts.get(unit, 0) / total if total else 0.0


def summarize(operators: Iterable[Operator], extra: Iterable[Rejected] = ()) -> Delegation:
    """Count operators by unit and backend and gather those with a reason for being refused; `extra` comes last."""
    operators = tuple(operators)
    by_unit, macs_by_unit = Counter[str](), Counter[str]()
    for operator in operators:
        by_unit[operator.unit] += 1
        macs_by_unit[operator.unit] += operator.macs
    refused = Counter((operator.op, operator.reason, operator.hint) for operator in operators if operator.reason)
    rejected = [Rejected(op=op, count=n, reason=reason, hint=hint) for (op, reason, hint), n in sorted(refused.items())]
    return Delegation(
        ops=len(operators),
        by_unit={unit: by_unit[unit] for unit in UNITS if by_unit[unit]},
        macs=sum(macs_by_unit.values()),
        macs_by_unit={unit: macs_by_unit[unit] for unit in UNITS if by_unit[unit]},
        by_backend=dict(sorted(Counter(operator.backend for operator in operators).items())),
        rejected=(*rejected, *extra),
    )
