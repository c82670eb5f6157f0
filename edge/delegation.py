"""Who runs each operator: the records of delegation.json and its summary in every manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from edge.errors import InputError, UsageError

Unit = Literal["npu", "gpu", "cpu"]
UNITS: tuple[Unit, ...] = ("npu", "gpu", "cpu")
DELEGATION = "delegation.json"
_SHOWN = 5  # kinds of operators that a message names


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


def read_delegation(folder: Path) -> DelegationReport:
    """Read delegation.json of an artifact's folder; raises InputError."""
    path = folder / DELEGATION
    try:
        return msgspec.json.decode(path.read_bytes(), type=DelegationReport)
    except OSError as error:
        raise InputError(f"{folder} has no {DELEGATION} to read ({error.strerror}); deploy it again") from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: {error}; deploy it again with `edge deploy`") from None


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


class Requirement(msgspec.Struct, frozen=True):
    """Ask for a least share of the multiply-accumulates on a unit; 100 % asks for every operator."""

    unit: Unit
    percent: float


def parse_requirement(text: str) -> Requirement:
    """Read `npu=99.5`; raises UsageError."""
    unit, _, number = text.partition("=")
    try:
        percent = float(number)
    except ValueError:
        percent = -1.0
    if unit not in UNITS or not 0 <= percent <= 100:
        raise UsageError(f"{text!r} is not of the form UNIT=PERCENT, for example npu=99.5; units: {', '.join(UNITS)}")
    return Requirement(unit, percent)


def unmet(requirement: Requirement, report: DelegationReport, nameless: Iterable[Rejected] = ()) -> str:
    """Return what a placement lacks of a requirement and which operators are to blame, or an empty string.

    `nameless` are operators of the compiled file that the exported program has no name for, such as the conversion of
    float inputs: 100 % allows none of them either.
    """
    found = summarize(report.operators)
    share, unit = found.share(requirement.unit), requirement.unit
    outside = [operator for operator in report.operators if operator.unit != unit]
    beside = list(nameless) if requirement.percent >= 100 else []
    whole = requirement.percent < 100 or not (outside or beside)
    if share >= requirement.percent and whole:
        return ""
    names = Counter((operator.op, operator.unit, operator.reason) for operator in outside)
    listed = [f"{n} × {op} on {on}{f' ({why})' if why else ''}" for (op, on, why), n in names.most_common(_SHOWN)]
    listed += [f"{item.count} × {item.op} of the compiled file ({item.reason})" for item in beside]
    more = f", and {len(names) - _SHOWN} more kinds" if len(names) > _SHOWN else ""
    return (
        f"{unit} runs {share:.2f} % of the multiply-accumulates, {requirement.percent:g} % is required; "
        f"{len(outside)} of {found.ops} operators are elsewhere: {', '.join(listed)}{more}"
    )
