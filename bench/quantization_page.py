"""docs/quantization.md from reports: one table a model, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.networks import models_with_weights
from edge.evaluation import Evaluation
from edge.report.html import size
from edge.report.records import Report, TargetReport

PROSE = Path(__file__).with_name("quantization.md")
_MARK = "<!-- tables -->\n"


def page(reports: Sequence[Report]) -> str:
    """Return the page: the prose that lies beside this module, with the tables of the reports in it."""
    before, after = PROSE.read_text().split(_MARK)
    return before + _missing(reports) + "\n".join(_table(report) for report in reports) + after


def _missing(reports: Sequence[Report]) -> str:
    left = sorted(set(models_with_weights()) - {report.model for report in reports})
    return f"Not measured yet: {', '.join(left)}; `make quantization` adds what is missing.\n\n" if left else ""


def _table(report: Report) -> str:
    metric = next((row.evaluation.metric for row in report.targets if row.evaluation), "metric")
    lines = [
        f"### {report.model}",
        "",
        f"| target | precision | size | parity: worst error / scale | {metric} [95 % interval] (pictures) | latency |",
        "| --- | --- | --: | --: | --: | --: |",
        *(_line(row) for row in report.targets),
        "",
        *_choices(report),
        f"{report.environment.device}, {report.environment.date[:10]}; {_data(report)}.",
        "",
    ]
    return "\n".join(lines)


def _line(row: TargetReport) -> str:
    name = f"auto → {row.chosen}" if row.chosen else row.precision
    if row.status != "ok":
        return f"| `{row.id}` | {name} | – | {row.status} | – | – |"
    cells = (f"`{row.id}`", name, size(row.bytes), _parity(row), _evaluation(row.evaluation), _latency(row))
    return f"| {' | '.join(cells)} |"


def _parity(row: TargetReport) -> str:
    if row.parity is None or row.parity.mode == "unverified":
        return "unverified"
    worst = max((output.max_abs / (output.scale or 1.0) for output in row.parity.outputs), default=0.0)
    return f"{worst:.2g} ({row.parity.mode}, {'passed' if row.parity.passed else 'differs'})"


def _evaluation(found: Evaluation | None) -> str:
    if found is None:
        return "–"
    return f"{found.value:.4f} [{found.ci95[0]:.4f}, {found.ci95[1]:.4f}] ({found.count})"


def _latency(row: TargetReport) -> str:
    return "–" if row.latency is None else f"{row.latency.median_ms:.1f} ms"


def _choices(report: Report) -> Iterator[str]:
    """Yield the sentences that explain `auto`, and why a precision is absent."""
    for row in report.targets:
        if row.precision == "auto" and row.explanation:
            yield f"- `{row.id}` auto: {' '.join(row.explanation)}"
    for row in report.targets:
        if row.status != "ok":
            yield f"- `{row.id}` {row.precision}: {row.reason}"
    yield ""


def _data(report: Report) -> str:
    sets = {row.evaluation.data for row in report.targets if row.evaluation}
    return "evaluated on " + " and ".join(sorted(sets)) if sets else "not evaluated"
