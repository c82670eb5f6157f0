"""What changed between two reports, two artifacts, two delegation reports or two latency profiles, target by target.

Worse, and therefore an error, is: a target that was built and is not any more, a parity that no longer passes, and a
share of the multiply-accumulates that left the NPU, or the NPU and GPU together. Sizes and the latencies of a report
are shown only: what is tolerable is for the reader to say. Profiles are judged by edge.profile.regression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

from edge.artifact import MANIFEST, Manifest, Parity
from edge.delegation import DELEGATION, UNITS, Delegation, DelegationReport, Operator, Unit, read_delegation, summarize
from edge.errors import InputError, UsageError
from edge.profile.budget import Budget
from edge.profile.reading import PROFILE, read_profile
from edge.profile.regression import ProfileComparison, compare_profiles
from edge.report.records import REPORT, Report, TargetReport

T = TypeVar("T")
_SHARE_TOLERANCE = 1e-6  # percent


class Pair(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Hold a value of both sides; None where a side does not have it."""

    before: T | None
    after: T | None

    @property
    def changed(self) -> bool:
        """Say whether the sides differ."""
        return self.before != self.after


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Gather what one side knows of one target."""

    target: str
    precision: str = ""
    status: str = "ok"
    parity: Parity | None = None
    delegation: Delegation | None = None
    operators: tuple[Operator, ...] = ()
    size_bytes: int | None = None
    latency_ms: float | None = None  # median

    @property
    def build(self) -> str:
        """Return TARGET@PRECISION, or the target alone where the precision is not known."""
        return f"{self.target}@{self.precision}" if self.precision else self.target

    @property
    def verdict(self) -> str:
        """Return passed, differs, unverified or unknown."""
        if self.parity is None:
            return "unknown"
        return "passed" if self.parity.passed else "unverified" if self.parity.mode == "unverified" else "differs"


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Name an operator that another unit runs now."""

    name: str
    op: str
    macs: int
    unit: Pair[Unit]
    reason: str = ""  # that the side gives where the operator is worse off
    hint: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Compare one target."""

    build: Pair[str]  # TARGET@PRECISION
    status: Pair[str]
    parity: Pair[str]
    metric: str
    value: Pair[float]  # of the task's metric
    share: dict[Unit, Pair[float]]  # percent of the multiply-accumulates, by unit
    operators: dict[Unit, Pair[int]]
    size_bytes: Pair[int]
    latency_ms: Pair[float]
    moved: tuple[Move, ...]
    only_before: int  # operators that the other side does not have
    only_after: int
    worse: tuple[str, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Compare two sides; the JSON of `edge compare`."""

    schema: Literal[1] = 1
    before: str
    after: str
    worse: bool
    rows: tuple[Row, ...]


def compare(before: Path, after: Path, budgets: Sequence[Budget] = ()) -> Comparison | ProfileComparison:
    """Compare two sides of the same kind.

    Raises InputError for what cannot be read, UsageError for two kinds and for budgets without profiles, Refused for
    profiles that must not be compared.
    """
    first, second = find_side(before), find_side(after)
    kind, other = first.kind, second.kind
    if kind != other:
        raise UsageError(f"{before} is {kind}, {after} is {other}; compare two of a kind")
    if kind == _PROFILE:
        names = (str(before), str(after))
        return compare_profiles(read_profile(first.file), read_profile(second.file), budgets, names=names)
    if budgets:
        raise UsageError(f"budgets judge latency profiles, and {before} is {kind}; make one with `edge profile`")
    old, new = read_side(first), read_side(second)
    single = kind != _REPORT and len(old) == len(new) == 1
    pairs = [(old[0], new[0])] if single else list(_match(old, new))
    rows = tuple(compare_rows(a, b) for a, b in pairs)
    return Comparison(before=str(before), after=str(after), worse=any(row.worse for row in rows), rows=rows)


def compare_rows(before: Snapshot | None, after: Snapshot | None) -> Row:
    """Compare what two sides know of one target; either may lack it."""
    share = {unit: _pair(before, after, partial(_share, unit)) for unit in UNITS}
    moved, gone, come = _moves(before.operators if before else (), after.operators if after else ())
    metric = _pair(before, after, _metric)
    return Row(
        build=_pair(before, after, lambda side: side.build),
        status=_pair(before, after, lambda side: side.status),
        parity=_pair(before, after, lambda side: side.verdict),
        metric=metric.after or metric.before or "",
        value=_pair(before, after, _value),
        share=share,
        operators={unit: _pair(before, after, partial(_count, unit)) for unit in UNITS},
        size_bytes=_pair(before, after, lambda side: side.size_bytes),
        latency_ms=_pair(before, after, lambda side: side.latency_ms),
        moved=moved,
        only_before=gone,
        only_after=come,
        worse=tuple(_worse(before, after, share)),
    )


def _pair(before: Snapshot | None, after: Snapshot | None, read: Callable[[Snapshot], T | None]) -> Pair[T]:
    return Pair(before=None if before is None else read(before), after=None if after is None else read(after))


def _share(unit: Unit, side: Snapshot) -> float | None:
    return side.delegation.share(unit) if side.delegation else None


def _count(unit: Unit, side: Snapshot) -> int | None:
    return side.delegation.by_unit.get(unit, 0) if side.delegation else None


def _metric(side: Snapshot) -> str | None:
    return side.parity.task.metric if side.parity and side.parity.task else None


def _value(side: Snapshot) -> float | None:
    return side.parity.task.value if side.parity and side.parity.task else None


def _worse(before: Snapshot | None, after: Snapshot | None, share: Mapping[Unit, Pair[float]]) -> Iterator[str]:
    if before is None:
        return
    status = after.status if after else "gone"
    if before.status == "ok" and status != "ok":
        yield f"it was ok and is {status}"
    if after is None:
        return
    if before.verdict == "passed" and after.verdict != "passed":
        yield f"parity passed and is {after.verdict}"
    npu, gpu = share["npu"], share["gpu"]
    if npu.before is None or npu.after is None or gpu.before is None or gpu.after is None:
        return
    if npu.after < npu.before - _SHARE_TOLERANCE:
        yield f"the NPU's share fell from {npu.before:.4g} % to {npu.after:.4g} %"
    elif npu.after + gpu.after < npu.before + gpu.before - _SHARE_TOLERANCE:
        yield f"the GPU's share fell from {gpu.before:.4g} % to {gpu.after:.4g} %"


def _moves(before: Sequence[Operator], after: Sequence[Operator]) -> tuple[tuple[Move, ...], int, int]:
    """Return the operators that changed their unit, and how many only one side has (none if a side tells of none)."""
    if not before or not after:
        return (), 0, 0
    old = {operator.name: operator for operator in before}
    new = {operator.name: operator for operator in after}
    moved = []
    for name, operator in new.items():
        earlier = old.get(name)
        if earlier is None or earlier.unit == operator.unit:
            continue
        slower = max(earlier, operator, key=lambda found: UNITS.index(found.unit))
        moved.append(
            Move(
                name=name,
                op=operator.op,
                macs=operator.macs,
                unit=Pair(before=earlier.unit, after=operator.unit),
                reason=slower.reason,
                hint=slower.hint,
            )
        )
    return tuple(moved), len(old.keys() - new.keys()), len(new.keys() - old.keys())


def _match(old: Sequence[Snapshot], new: Sequence[Snapshot]) -> Iterator[tuple[Snapshot | None, Snapshot | None]]:
    """Pair the targets of two reports at equal precisions, in the order of the first, then what only the second has."""
    later = {row.build: row for row in new}
    for row in old:
        yield row, later.pop(row.build, None)
    for row in later.values():
        yield None, row


_REPORT, _ARTIFACT, _OPERATORS, _PROFILE = "a report", "an artifact", "a delegation report", "a latency profile"
_KINDS = {"targets": _REPORT, "operators": _OPERATORS, "variants": _PROFILE, "files": _ARTIFACT}  # by a key of its own


@dataclass(frozen=True, slots=True)
class Side:
    """A file, what is in it, and of which kind that is."""

    kind: str
    file: Path
    data: bytes


def find_side(path: Path) -> Side:
    """Return what a folder or file is; raises InputError if it is nothing that can be compared."""
    file = next((path / name for name in (REPORT, MANIFEST, DELEGATION, PROFILE) if (path / name).is_file()), path)
    try:
        data = file.read_bytes()
        keys = msgspec.json.decode(data, type=dict[str, Any])
    except OSError as error:
        raise InputError(
            f"{path}: no {REPORT}, {MANIFEST} or {DELEGATION} to read ({error.strerror}); `edge deploy` makes them, "
            f"and `edge profile` makes {PROFILE}"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{file} is not JSON of the kit: {error}") from None
    kind = next((kind for key, kind in _KINDS.items() if key in keys), None)
    if kind is None:
        raise InputError(f"{file} is neither a report, a manifest, a delegation report nor a latency profile")
    return Side(kind, file, data)


def read_side(side: Side) -> tuple[Snapshot, ...]:
    """Return the targets of a report, an artifact or a delegation report; raises InputError."""
    try:
        if side.kind == _REPORT:
            report = msgspec.json.decode(side.data, type=Report)
            return tuple(_of_row(row, side.file.parent) for row in report.targets)
        if side.kind == _OPERATORS:
            return (_of_operators(msgspec.json.decode(side.data, type=DelegationReport)),)
        return (_of_manifest(msgspec.json.decode(side.data, type=Manifest), side.file.parent),)
    except msgspec.MsgspecError as error:
        raise InputError(f"{side.file} is neither a report, a manifest nor a delegation report: {error}") from None


def _of_row(row: TargetReport, folder: Path) -> Snapshot:
    return Snapshot(
        target=row.id,
        precision=row.precision,
        status=row.status,
        parity=row.parity,
        delegation=row.delegation,
        operators=_operators(folder / row.folder) if row.folder else (),
        size_bytes=row.bytes if row.status == "ok" else None,
        latency_ms=row.latency.median_ms if row.latency else None,
    )


def _of_manifest(manifest: Manifest, folder: Path) -> Snapshot:
    return Snapshot(
        target=manifest.target,
        precision=manifest.precision,
        parity=manifest.parity,
        delegation=manifest.delegation,
        operators=_operators(folder),
        size_bytes=sum(entry.bytes for entry in manifest.files),
    )


def _of_operators(report: DelegationReport) -> Snapshot:
    return Snapshot(target=report.target, delegation=summarize(report.operators), operators=report.operators)


def _operators(folder: Path) -> tuple[Operator, ...]:
    """Return the operators of an artifact's folder; none if it has no delegation report, for it may have been moved."""
    return read_delegation(folder).operators if (folder / DELEGATION).is_file() else ()
