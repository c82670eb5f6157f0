"""`python -m bench.zoo_targets`: take every model to five targets, or a server's to four, and say what came of it.

Each is made, executed and compared with eager PyTorch: in fp32 on four runtimes of CPUs and of Apple's, in fp16 on an
NPU's emulator; models for servers in fp32 only. Of an artifact that differs `edge bisect` names the operator.
docs/zoo_targets.md is written from the reports. A model that has reports is left out until --again; `--render` only
writes the page. Models without weights get seeded random ones. All of it takes hours and some 50 GB, in out/ and in the
cache, which `edge doctor --prune` empties.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import msgspec

from edge.report.records import REPORT, Report, TargetReport, read_report
from edge.samples import sample_photos
from edge.zoo import MODELS, device_models

Runs = tuple[tuple[str, tuple[str, ...]], ...]
RUNS: Runs = (
    ("fp32", ("executorch-xnnpack", "litert-cpu", "onnx-cpu", "coreml")),
    ("fp16", ("executorch-qnn:SM8650",)),
)
SERVER_RUNS: Runs = RUNS[:1]  # what a phone cannot hold has no NPU to go to
FOLDER = Path("out/zoo-targets")
PAGE = Path("docs/zoo_targets.md")
_SERVER = """Models that are meant for a server, which runs them with ONNX Runtime, converted all the same:

"""
BISECT = "bisect.json"
_SLOW = "maskbit-tokenizer-"  # the emulator takes five minutes and more for a picture: it gets one of three
_HEAD = """# The zoo on its targets

Every model, made, executed and compared with eager PyTorch by `make zoo-targets`. Core ML packages run in the kit's
reference interpreter, Qualcomm's in its emulator (Snapdragon 8 Gen 3); the first table's last column says how many
operators the NPU was given. A model without published or trained weights was made with random ones (seed 0): that shows
what the compilers and runtimes do with its operators, not what it is good for.

A cell is the largest error of any single value over its output's largest value. It passes up to 0.001 in fp32 and 0.03
in fp16; beyond that fp16 passes if the PSNR over all values is at least 40 dB, as a few values of BlazePose do that are
far off while its landmarks are the same, and `kmax-deeplab-mobile` from 30 dB on, where pixels between two queries go
to either. The task's metric (mean IoU, OKS, identical codes…) must reach its limit besides; of ids that the graph looks
up, it alone counts. What *differs* does not pass; the list below the tables says why, and `edge bisect` at which
operator. The emulator got one picture of MaskBit, for which it takes five minutes and more; [zoo.md](zoo.md#tokenizers)
says why MaskBit's ids differ in 16 bits.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Deploy what has no report yet and write the page; returns 1 if a deploy left no report."""
    options = _parse(arguments)
    names = list(options.models or MODELS)
    left = [] if options.render else [name for name in names if not all([*_deploys(name, options)])]
    found = {name: reports for name in MODELS if (reports := _reports(options.out / name))}
    device = [(name, found[name]) for name in device_models() if name in found]
    server = [(name, reports) for name, reports in found.items() if name not in device_models()]
    tables = _HEAD + _table(device, RUNS) + _SERVER + _table(server, SERVER_RUNS)
    options.page.write_text(tables + _reasons([*device, *server], options.out) + _missing(found))
    print(f"{options.page}: {len(found)} models")
    for name in left:
        print(f"{name}: no report; its messages are above", file=sys.stderr)
    return 1 if left else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.zoo_targets", description=__doc__)
    parser.add_argument("models", nargs="*", help="zoo models; default: all")
    parser.add_argument("--again", action="store_true", help="deploy models that have reports, too")
    parser.add_argument("--render", action="store_true", help="write the page from the reports that are there")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser.parse_args(arguments)


def _deploys(name: str, options: argparse.Namespace) -> Iterator[bool]:
    """Run `edge deploy` as a user would; what fails or misses its limits is the table's business."""
    for precision, targets in _runs(name):
        folder = options.out / name / precision
        if options.again or not (folder / REPORT).is_file():
            print(f"== {name} {precision}", flush=True)
            command = [sys.executable, "-m", "edge", "deploy", name, "--precision", precision, "--launches", "0"]
            command += ["--out", str(folder), *(flag for target in targets for flag in ("--target", target))]
            subprocess.run(command + _given(name, precision))
        if left := (folder / REPORT).is_file():
            _bisect(folder, _given(name, precision), again=options.again)
        yield left


def _runs(name: str) -> Runs:
    return RUNS if MODELS[name].runs == "device" else SERVER_RUNS


def _bisect(folder: Path, given: Sequence[str], *, again: bool) -> None:
    """Look for the first operator that goes wrong in every artifact that differs."""
    for row in read_report(folder).targets:
        out = _bisected(folder, row)
        if row.parity and not row.parity.passed and (again or not (out / BISECT).is_file()):
            command = [sys.executable, "-m", "edge", "bisect", str(folder / row.folder), "--out", str(out)]
            subprocess.run([*command, *given])


def _bisected(folder: Path, row: TargetReport) -> Path:
    return folder / "bisect" / row.folder


def _given(name: str, precision: str) -> list[str]:
    """Return the options that say which weights and pictures."""
    weights = ["--random-weights"] if MODELS[name].weight_status == "yours" else []
    one = precision == "fp16" and name.startswith(_SLOW)
    return [*weights, *(("--data", str(sample_photos()[0])) if one else ())]


def _reports(folder: Path) -> list[Report]:
    return [read_report(folder / precision) for precision, _ in RUNS if (folder / precision / REPORT).is_file()]


def _table(rows: Sequence[tuple[str, list[Report]]], runs: Runs) -> str:
    targets = [(precision, target) for precision, names in runs for target in names]
    heads = " | ".join(f"{target} {precision}" for precision, target in targets)
    npu = ":" in targets[-1][1]  # a chip's compiler says what it took
    lines = [f"| model | weights | {heads} |", f"| --- | --- |{' --: |' * len(targets)}"]
    if npu:
        lines = [f"{lines[0]} on the NPU |", f"{lines[1]} --- |"]
    for name, reports in rows:
        found = {(row.precision, row.id): row for report in reports for row in report.targets}
        weights = MODELS[name].weight_status
        cells = [_cell(found.get(key)) for key in targets]
        cells += [_units(found.get(targets[-1]))] if npu else []
        lines.append(f"| `{name}` | {'random' if weights == 'yours' else weights} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n"


def _cell(row: TargetReport | None) -> str:
    if row is None:
        return "not tried"
    if row.status != "ok" or row.parity is None:
        return row.status
    worst = max((output.max_abs / (output.scale or 1.0) for output in row.parity.outputs), default=0.0)
    return f"{worst:.1g}" if row.parity.passed else f"{worst:.1g}, differs"


def _units(row: TargetReport | None) -> str:
    if row is None or row.delegation is None:
        return "–"
    taken = row.delegation.by_unit.get("npu", 0)
    outside = [f"{item.count} × {item.op}" for item in row.delegation.rejected]
    return f"all {taken}" if taken == row.delegation.ops else f"{taken} of {row.delegation.ops}: {', '.join(outside)}"


def _reasons(rows: Sequence[tuple[str, list[Report]]], out: Path) -> str:
    lines = []
    for name, reports in rows:
        for row in (row for report in reports for row in report.targets):
            reason = row.reason or (row.parity.reason if row.parity and not row.parity.passed else "")
            if reason:
                said = _verdict(_bisected(out / name / row.precision, row) / BISECT)
                lines.append(f"- `{name}`, {row.id} {row.precision}: {reason}{said}")
    machines = sorted({f"{report.environment.device}, {report.environment.date[:10]}" for _, found in rows
                       for report in found})  # fmt: skip
    return "\n".join([*lines, "", f"Made on: {'; '.join(machines)}.", ""])


def _verdict(path: Path) -> str:
    if not path.is_file():
        return ""
    found = msgspec.json.decode(path.read_bytes())
    notes = "; ".join(note for side in found["sides"] for note in side["notes"])
    return f". `edge bisect`: {found['verdict']}{f' ({notes})' if notes else ''}"


def _missing(names: Container[str]) -> str:
    left = [f"`{name}`" for name in MODELS if name not in names]
    return f"\nNot tried yet: {', '.join(left)}; `make zoo-targets` adds them.\n" if left else ""


if __name__ == "__main__":
    raise SystemExit(main())
