"""`python -m bench.quantization`: what every precision costs the zoo's models with weights on the five main targets.

Each model is deployed with all precisions, `mixed` and `auto` among them, calibrated on one half of the photographs
and evaluated on the other, and docs/quantization.md is written from the reports. What an earlier run built stays in
the kit's cache, so that an interrupted run goes on where it ended; `--render` only writes the page.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.networks import models_with_weights
from bench.quantization_page import page
from edge.report.records import Report, read_report
from edge.samples import photographs, sample_photos
from edge.zoo import MODELS

TARGETS = ("executorch-xnnpack", "litert-cpu", "onnx-cpu", "coreml", "executorch-qnn:SM8650")
PRECISIONS = ("fp32", "fp16", "int8", "w8a16", "mixed", "auto")
FOLDER = Path("out/quantization")
PAGE = Path("docs/quantization.md")
TRAINING_STEPS = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Deploy, then write the page; returns 1 if a deploy failed outright."""
    options = _parse(arguments)
    models = list(models_with_weights()) if options.models == ["all"] else options.models
    failed = [] if options.render else [name for name in models if not _deploy(name, options)]
    reports = list(_reports(options.out))
    if reports:
        options.page.write_text(page(reports))
        print(f"{options.page}: {len(reports)} models")
    for name in failed:
        print(f"{name}: no report; its messages are above", file=sys.stderr)
    return 1 if failed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.quantization", description=__doc__)
    parser.add_argument("--models", nargs="+", default=["all"], help="zoo models, or 'all'")
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS))
    parser.add_argument("--launches", type=int, default=3, help="process launches per latency")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the artifacts and reports go")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--render", action="store_true", help="write the page from the reports that are there")
    return parser.parse_args(arguments)


def _deploy(name: str, options: argparse.Namespace) -> bool:
    """Run `edge deploy` as a user would; a row that fails or misses its limits is the table's business."""
    chosen = photographs()
    folder = options.out / name
    command = [sys.executable, "-m", "edge", "deploy", name, "--out", str(folder), "--launches", str(options.launches)]
    for target in options.targets:
        command += ["--target", target]
    for precision in options.precisions:
        command += ["--precision", precision]
    command += ["--calibration", str(chosen.calibration[0].parent), "--evaluate", "--max-drop", "1%"]
    if MODELS[name].weight_status == "yours":
        command += ["--checkpoint", str(_trained(name, options.out))]
    print(f"== {name}", flush=True)
    done = subprocess.run(command)
    return done.returncode in (0, 1, 2, 3, 4) and (folder / "report.json").is_file()


def _trained(name: str, out: Path) -> Path:
    """Return a checkpoint of a family without weights of its own, trained the first time."""
    path = out / f"{name}.pth"
    if not path.is_file():
        import torch

        from bench.networks import trained_network

        out.mkdir(parents=True, exist_ok=True)
        print(f"== {name}: training", flush=True)
        pictures = (*sample_photos(), *photographs().calibration)
        torch.save(trained_network(name, pictures, steps=TRAINING_STEPS).state_dict(), path)
    return path


def _reports(out: Path) -> Iterator[Report]:
    for folder in sorted(out.iterdir()) if out.is_dir() else ():
        if (folder / "report.json").is_file():
            yield read_report(folder)


if __name__ == "__main__":
    raise SystemExit(main())
