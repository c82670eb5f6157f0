"""Rows of a report as the planner sees them, and candidates as the report keeps them."""

from __future__ import annotations

from convert.plan import Keeping
from edge.report.records import CandidateReport, TargetReport
from quant.budget import Budget, Candidate
from quant.explain import verdict


def candidate_of(row: TargetReport, keeping: Keeping | None = None) -> Candidate:
    """Return what the planner sees of a row: its evaluation, or without one what parity found."""
    metric, value, ci95, count = _quality(row)
    parity, latency = row.parity, row.latency
    executed = parity is not None and parity.mode != "unverified"
    return Candidate(
        precision=row.precision,
        status=row.status,
        reason=row.reason if row.status != "ok" or not executed else "",
        fault=parity.reason if parity is not None and executed and not parity.passed else "",
        metric=metric,
        value=value,
        ci95=ci95,
        count=count,
        latency_ms=latency.median_ms if latency else None,
        latency_ci95_ms=latency.ci95_ms if latency else None,
        timing=("emulated" if latency.emulated else "native") if latency else "unknown",
        size_bytes=row.bytes,
        kept=keeping.layers if keeping else 0,
        layers=keeping.of if keeping else 0,
    )


def _quality(row: TargetReport) -> tuple[str, float | None, tuple[float, float] | None, int]:
    """Return the metric, its value, interval and count: of the evaluation, else of parity's own inputs."""
    if row.evaluation is not None:
        found = row.evaluation
        return found.metric, found.value, found.ci95, found.count
    if row.parity is None or row.parity.mode == "unverified":
        return "", None, None, 0
    count = int(row.parity.inputs.rpartition(" ")[2] or 0)
    if row.parity.task is not None:
        return row.parity.task.metric, row.parity.task.value, None, count
    return "cosine", min((output.cosine for output in row.parity.outputs), default=None), None, count


def candidate_report(row: TargetReport, candidate: Candidate, budget: Budget) -> CandidateReport:
    """Return what the report keeps of a candidate."""
    return CandidateReport(
        precision=row.precision,
        status=row.status,
        reason=row.reason,
        bytes=row.bytes,
        evaluation=row.evaluation,
        latency=row.latency,
        latency_reason=row.latency_reason,
        kept=candidate.kept,
        layers=candidate.layers,
        verdict=verdict(candidate, budget),
    )
