"""A model card: what a model takes and gives, whose weights it has, how large it is, where it runs, what was measured.

Everything measured comes from reports of deploys that are handed in; without one the card says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.artifact import write_atomic
from edge.contract import Contract, Preprocess, TensorSpec
from edge.report.html import inputs, latency, number, precision, size, verdict, worst
from edge.report.records import Report, TargetReport
from edge.tasks import TASKS
from edge.zoo import ZooModel

_LABELS_SHOWN = 30
_RESIZED = {
    "stretch": "stretched to",
    "letterbox": "put whole between bars into",
    "corner": "put whole into the upper left corner of",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTarget:
    """A family of targets that is ready."""

    name: str
    unit: str
    precisions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is known of a model; `picture` is a file beside the card."""

    model: ZooModel
    parameters: int
    macs: int  # of one inference
    contract: Contract  # as the weights complete it
    targets: tuple[CardTarget, ...]
    reports: tuple[Report, ...] = ()
    picture: str = ""


def write_card(card: Card, folder: Path) -> Path:
    """Write the card as NAME.md into a folder and return its path."""
    path = folder / f"{card.model.name}.md"
    write_atomic(path, render(card).encode())
    return path


def render(card: Card) -> str:
    """Return the card as Markdown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("edge.report", "templates"),
        autoescape=False,  # it is Markdown; what is filled in comes from the registry and from reports
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = templates.get_template("card.md.j2")
    text = template.render(
        card=card,
        **{
            function.__name__: function
            for function in (
                amount, error, how, labels, measured, metric, postprocessing, precision, preprocessing, size,
                tensors, timed, verdict, weights,
            )
        },
    )  # fmt: skip
    return text.replace("\\\n", "")


def amount(macs: int) -> str:
    """Format multiply-accumulates as G, M or k (10⁹, 10⁶, 10³) MACs."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if macs >= scale:
            return f"{macs / scale:.4g} {unit}MACs"
    return f"{macs} MACs"


def weights(model: ZooModel) -> str:
    """Say whose weights there are and where they come from."""
    if model.files:
        file = model.files[-1]  # the one that holds the weights
        first = file.sources[0]
        return (
            f"real: `{file.name}`, {size(file.size_bytes)}, of {first.registry}'s {first.package} "
            f"{first.version} (sha256 `{file.sha256[:16]}…`)"
        )
    if model.trained:
        return f"trained here: `{model.trained}`, which comes with the kit"
    return f"yours: {model.checkpoint_hint}"


def tensors(specs: Sequence[TensorSpec]) -> str:
    """Return a table of tensors."""
    lines = ["| name | shape | type | layout |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{spec.name}` | {' × '.join(map(str, spec.shape))} | {spec.dtype} | {spec.layout or '–'} |"
        for spec in specs
    ]
    return "\n".join(lines)


def preprocessing(contract: Contract) -> str:
    """Say how a picture becomes the input."""
    rule = contract.preprocess
    if rule is None:
        return "The input is not a picture; docs/zoo.md says what makes it."
    low, high = rule.range
    region = TASKS[contract.task].needs_region
    taken = "The turned square around a person is resized to" if region else f"A picture is {_RESIZED[rule.resize]}"
    text = f"{taken} {rule.size[1]} × {rule.size[0]} pixels, {rule.colour}, values {low:g} to {high:g}"
    return text + _statistics(rule) + "."


def _statistics(rule: Preprocess) -> str:
    if rule.mean == (0.0, 0.0, 0.0) and rule.std == (1.0, 1.0, 1.0):
        return ""
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (rule.mean, rule.std))
    return f", minus {mean} and divided by {std}"


def postprocessing(contract: Contract) -> str:
    """Name the decoder and its settings."""
    rule = contract.postprocess
    if rule is None:
        return "The outputs are the result."
    settings = ", ".join(f"{name} {_plain(value)}" for name, value in rule.settings.items())
    return f"Decoder `{rule.decoder}`" + (f": {settings}." if settings else ".")


def _plain(value: float | int | str | list[float]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(f"{item:g}" for item in value) + "]"
    return value if isinstance(value, str) else f"{value:g}"


def labels(names: Sequence[str]) -> str:
    """List the labels, the first of many."""
    shown = ", ".join(names[:_LABELS_SHOWN])
    rest = len(names) - _LABELS_SHOWN
    return f"{len(names)} label{'s' if len(names) > 1 else ''}: {shown}" + (f" and {rest} more." if rest > 0 else ".")


def measured(reports: Sequence[Report]) -> list[tuple[str, list[TargetReport]]]:
    """Return the rows of the reports, together where they were made under the same circumstances, which are said."""
    found: dict[str, list[TargetReport]] = {}
    for report in reports:
        found.setdefault(_circumstances(report), []).extend(report.targets)
    return list(found.items())


def _circumstances(report: Report) -> str:
    made = report.environment
    system = made.system.partition(" ")[0]  # without the kernel's version
    weights = f"weights: {report.source.origin}; " if report.source.origin else ""
    compared = f"compared with eager PyTorch in fp32 on {inputs(report.inputs)}"
    return f"{made.date[:10]}, {made.device}, {system}; {weights}{compared}."


def how(row: TargetReport) -> str:
    """Return how the artifact was executed."""
    return row.parity.mode if row.parity else "–"


def error(row: TargetReport) -> str:
    """Format the largest error of any output, relative to that output's scale."""
    return number(worst(row)) if row.parity and row.parity.outputs else "–"


def metric(row: TargetReport) -> str:
    """Format the task's metric against the original model."""
    found = row.parity.task if row.parity else None
    return f"{found.metric} {found.value:.4f}" if found else "–"


def timed(row: TargetReport) -> str:
    """Format the latency with its interval and machine."""
    if row.latency is None:
        return "not timed"
    emulated = ", emulated" if row.latency.emulated else ""
    return f"{latency(row.latency)}, {row.latency.device}{emulated}"
