"""Draw the curves of trainings and print their results: `python -m scripts.draw_training OUT… --into docs/training`.

For each OUT, a folder that `edge train RECIPE --out OUT` filled, it writes RECIPE.png, RECIPE.csv (the log) and
RECIPE.json (the record), and prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib
import msgspec

from edge.artifact import encode_json
from edge.train.logs import read_curves
from edge.train.plan import RecipeReport
from edge.train.recipe import RECORD

matplotlib.use("Agg")
from matplotlib import pyplot

_SMOOTHED = 9  # logged steps whose mean is drawn
_HELD_OUT = "held-out/"


def smoothed(values: list[float]) -> list[float]:
    """Return running means over the last few values."""
    return [sum(part := values[max(0, i - _SMOOTHED + 1) : i + 1]) / len(part) for i in range(len(values))]


def draw(folder: Path, report: RecipeReport, target: Path) -> None:
    """Write a picture of the loss and of the metrics on held-out data, with what they are compared with."""
    rows = read_curves(folder)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    names = sorted({name for _, row in rows for name in row if name == "loss" or name.startswith("loss/")})
    for name in names:
        found = [(step, row[name]) for step, row in rows if name in row]
        steps, values = [step for step, _ in found], [value for _, value in found]
        left.plot(steps, smoothed(values), label=name.removeprefix("loss/"), lw=2.0 if name == "loss" else 1.0)
    left.set(xlabel="step", ylabel="loss", yscale="log", title=f"{report.recipe}: training")
    left.legend(fontsize=7, ncol=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    for number, name in enumerate(report.metrics):
        colour = f"C{number}"
        right.plot([point.step for point in report.curve], [point.metrics[name] for point in report.curve],
                   "o-", ms=3, color=colour, label=name)  # fmt: skip
        for line, (reference, value) in enumerate(
            (key, value) for key, value in report.references.items() if key.endswith(f" {name}")
        ):
            right.axhline(value, ls=("--", ":", "-.")[line % 3], color=colour, lw=1.0, label=reference)
    right.set(xlabel="step", title="held-out data, averaged weights")
    right.legend(fontsize=7, ncol=len(report.metrics), loc="upper center", bbox_to_anchor=(0.5, -0.15))
    figure.savefig(target, dpi=110)
    pyplot.close(figure)


def write_log(folder: Path, target: Path) -> None:
    """Write the logged numbers as CSV, rounded, one row a step."""
    rows: dict[int, dict[str, float]] = {}
    for step, row in read_curves(folder):
        rows.setdefault(step, {}).update(row)
    names = sorted({name for row in rows.values() for name in row})
    with target.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["step", *names])
        for step, row in sorted(rows.items()):
            writer.writerow([step, *(f"{row[name]:.5g}" if name in row else "" for name in names)])


def table(report: RecipeReport) -> str:
    """Return what was reached, and what it is compared with, as a table in Markdown."""
    lines = [f"| {report.recipe}: held-out data | " + " | ".join(report.metrics) + " |"]
    lines.append("| --- |" + " --: |" * len(report.metrics))
    lines.append("| trained | " + " | ".join(f"{value:.3f}" for value in report.metrics.values()) + " |")
    others: dict[str, dict[str, float]] = {}
    for name, value in report.references.items():
        metric = next((metric for metric in report.metrics if name.endswith(f" {metric}")), "")
        if metric:
            others.setdefault(name.removesuffix(f" {metric}"), {})[metric] = value
    for name, values in others.items():
        lines.append(
            f"| {name} | " + " | ".join(f"{values[m]:.3f}" if m in values else "" for m in report.metrics) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    """Draw the trainings that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, required=True)
    given = parser.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    for folder in given.folders:
        report = msgspec.json.decode((folder / RECORD).read_bytes(), type=RecipeReport)
        draw(folder, report, given.into / f"{report.recipe}.png")
        write_log(folder, given.into / f"{report.recipe}.csv")
        (given.into / f"{report.recipe}.json").write_bytes(encode_json(report))
        print(table(report), "\n")
        minutes = f"{report.seconds / 60:.1f} minutes"
        print(f"{report.plan.steps} steps of {report.plan.batch} in {minutes} on {report.device}, "
              f"{report.threads} thread(s); {report.parameters:,} parameters\n")  # fmt: skip


if __name__ == "__main__":
    main()
