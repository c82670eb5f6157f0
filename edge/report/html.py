"""Render one or several report.json as a single HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from edge.artifact import write_atomic
from edge.evaluation import Evaluation
from edge.phones import PhoneChoice
from edge.profile.latency import Latency
from edge.report.plot import Plot, plot
from edge.report.records import Report, TargetReport, read_report
from edge.report.sensitivity import Damage, Sensitivity, read_sensitivity

HTML = "report.html"
_PREVIEW_PX = 420  # longest side; pictures are embedded, so the page stays small enough to mail


def write_html(folders: Sequence[Path], out: Path) -> Path:
    """Render the reports of `folders` into out/report.html and return its path; raises InputError."""
    reports = [(folder, read_report(folder)) for folder in folders]
    return _render(
        "report.html.j2",
        out,
        reports=[_view(folder, report) for folder, report in reports],
        environment=reports[0][1].environment,
    )


def write_sensitivity(found: Sensitivity, out: Path) -> Path:
    """Render a sensitivity into out/report.html and return its path."""
    return _render("sensitivity_page.html.j2", out, found=found, drawn=plot(found))


def _render(template: str, out: Path, **values: object) -> Path:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("edge.report", "templates")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {
        "evaluation": evaluation,
        "precision": precision,
        "damage": damage,
        "summary": summary,
        "size": size,
        "verdict": verdict,
        "latency": latency,
        "units": units,
        "number": number,
        "worst": worst,
        "inputs": inputs,
        "phone": phone,
    }
    path = out / HTML
    write_atomic(path, templates.get_template(template).render(**values).encode())
    return path


def _view(folder: Path, report: Report) -> dict[str, object]:
    pictures = [("eager PyTorch", "the original model", embed(folder / report.preview))] if report.preview else []
    pictures += [(row.id, row.precision, embed(folder / row.preview)) for row in report.targets if row.preview]
    fastest = min((row.latency.median_ms for row in report.targets if row.latency), default=0.0)
    found = [read_sensitivity(folder / name) for name in report.sensitivity]
    drawn: list[tuple[Sensitivity, Plot]] = [(item, plot(item)) for item in found]
    return {
        "report": report, "pictures": pictures, "slowest": _slowest(report), "fastest": fastest, "sensitivity": drawn,
    }  # fmt: skip


def _slowest(report: Report) -> float:
    return max((row.latency.median_ms for row in report.targets if row.latency), default=0.0)


def embed(picture: Path) -> str:
    """Return a picture as a data: address, made smaller for the page."""
    from PIL import Image

    with Image.open(picture) as image:
        image.thumbnail((_PREVIEW_PX, _PREVIEW_PX))
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def size(size_bytes: int) -> str:
    """Format bytes as MB (10⁶), or kB below one."""
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def number(value: float) -> str:
    """Format an error or a score with three significant digits."""
    return f"{value:.3g}"


def verdict(row: TargetReport) -> str:
    """Return one word for what came of a target: passed, differs, unverified, or its status."""
    if row.status != "ok" or row.parity is None:
        return row.status
    if row.parity.passed:
        return "passed"
    return "unverified" if row.parity.mode == "unverified" else "differs"


def worst(row: TargetReport) -> float:
    """Return the largest error of any output relative to that output's scale; 0 if nothing was compared."""
    outputs = row.parity.outputs if row.parity else ()
    return max((output.max_abs / (output.scale or 1.0) for output in outputs), default=0.0)


def latency(value: Latency | None) -> str:
    """Format a median with its 95 % interval."""
    if value is None:
        return "not timed"
    low, high = value.ci95_ms
    return f"{value.median_ms:.2f} ms [{low:.2f}, {high:.2f}]"


def evaluation(found: Evaluation | None) -> str:
    """Format a metric with its 95 % interval and the number of pictures it rests on."""
    if found is None:
        return "–"
    low, high = found.ci95
    return f"{found.metric} {found.value:.4f} [{low:.4f}, {high:.4f}] on {found.count}"


def precision(row: TargetReport) -> str:
    """Return a row's precision, and what `auto` chose."""
    return f"{row.precision} → {row.chosen}" if row.chosen else row.precision


def damage(found: Damage | None) -> str:
    """Format the worst output's signal-to-noise ratio and what the metric lost."""
    if found is None:
        return "–"
    return f"{found.worst_db:.1f} dB" + (f", {100 * found.drop:.2f} %" if found.drop is not None else "")


def summary(found: Sensitivity) -> str:
    """Say in one sentence what a sensitivity rests on and what rounding everything costs."""
    how = "alone" if found.mode == "one" else "left in float while all others are rounded: what that wins"
    metric = f" and the loss of {found.metric} ({found.scored} pictures)" if found.scored else ""
    return (
        f"Each of {len(found.layers)} layers {how}, simulated with {found.observer} ranges for the graph of "
        f"{found.family} on {found.count} of {found.data}: signal to noise of the worst output{metric}. "
        f"Everything rounded: {damage(found.whole)}."
    )


def units(row: TargetReport) -> str:
    """Format how many operators each unit runs, and its share of the multiply-accumulates if there are several."""
    found = row.delegation
    if found is None:
        return "–"
    shared = found.macs and len(found.by_unit) > 1
    parts = [
        f"{unit} {count}" + (f" ({found.share(unit):.1f} % of MACs)" if shared else "")
        for unit, count in found.by_unit.items()
        if count
    ]
    return ", ".join(parts)


def phone(choice: PhoneChoice) -> str:
    """Format what was chosen for a phone as one line."""
    fallback = choice.fallback if choice.fallback not in ("", choice.chosen) else ""
    return f"{choice.phone} ({choice.soc}): {choice.chosen}" + (f", else {fallback}" if fallback else "")


def inputs(kind: str) -> str:
    """Format `real: 3` as `3 real pictures`."""
    how, _, count = kind.partition(": ")
    return (
        f"{count} real picture{'s' if count != '1' else ''}"
        if how == "real"
        else f"{count} sets of seeded random inputs"
    )
