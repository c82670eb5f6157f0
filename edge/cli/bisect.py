"""`edge bisect`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.artifact import Artifact, check_files, read_manifest
from edge.cli import json_option, print_json, progress
from edge.cli.options import model_options
from edge.errors import InputError, UsageError

if TYPE_CHECKING:
    from convert.bisect.records import Bisection, Side

EAGER = "torch"
ROWS = 11


@click.command("bisect")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("other", required=False, default=EAGER)
@click.option("--model", help="The model it was made from, if that was not a zoo model: file.py:function or a .pt2.")
@click.option("--out", type=click.Path(path_type=Path), help="Write bisect.html, bisect.json and a reproducer here.")
@model_options
@json_option
def bisect_command(
    artifact: Path, other: str, model: str | None, out: Path | None, as_json: bool, **options: Any
) -> int:
    """Name the first operator at which ARTIFACT and OTHER diverge; OTHER is an artifact or `torch`, the default.

    Every tensor that a runtime computed is matched with an operator of the exported program, and each operator is run
    in eager PyTorch on the artifact's own tensors. `--input PICTURE` chooses the picture; `--input NAME=SHAPE`
    describes an input of your own model. Ends with 4 if an operator diverges, with 0 if none does.
    """
    from convert.bisect.run import bisect, check_pair
    from edge.cli.verify import request_for
    from edge.pipeline import prepare_request
    from edge.store import command_log

    artifacts = [_open(artifact), *([] if other == EAGER else [_open(Path(other))])]
    check_pair(artifacts)
    image, options = _picture(options)
    request = request_for(artifacts[0], model, options)
    log = command_log("bisect")
    with tempfile.TemporaryDirectory(prefix="edge-bisect-") as folder:
        prepared = prepare_request(request, Path(folder) / "prepared", log, progress)
        _check_weights(artifacts[0], prepared.folder)
        found = bisect(artifacts, prepared.folder, Path(folder), log, image=image, out=out, progress=progress)
    if as_json:
        print_json(found)
    else:
        for line in describe(found, out):
            click.echo(line)
    return 4 if found.diverges else 0


def _open(path: Path) -> Artifact:
    found = read_manifest(path)
    try:
        check_files(found)
    except InputError as error:  # a changed file is what this command is for; a missing one fails when it is read
        progress(f"warning  {error}")
    return found


def _picture(options: Mapping[str, Any]) -> tuple[Path | None, dict[str, Any]]:
    """Take a picture's path out of the values of --input; what is left describes the inputs of a user's model."""
    shapes = tuple(text for text in options["inputs"] if "=" in text)
    pictures = [Path(text) for text in options["inputs"] if "=" not in text]
    if len(pictures) > 1:
        raise UsageError(f"--input names {len(pictures)} pictures; a bisection runs on one")
    for path in pictures:
        if not path.is_file():
            raise InputError(f"--input {path} is no file; expected a picture, or NAME=1x3x256x256 for your own model")
    return (pictures[0] if pictures else None), {**options, "inputs": shapes}


def _check_weights(artifact: Artifact, prepared: Path) -> None:
    from convert.header import read_header

    have, want = artifact.manifest.source.sha256, read_header(prepared).source.sha256
    if have != want:
        raise UsageError(
            f"{artifact.root} was made from weights {have[:16]}…, these are {want[:16]}…; "
            "pass the same --checkpoint that it was deployed with"
        )


def describe(found: Bisection, out: Path | None) -> Iterator[str]:
    """Yield a bisection as lines of text: the verdict, and per artifact the tensors around the divergence."""
    yield f"{found.model} on {found.inputs}"
    depth = min((side.divergence.depth for side in found.sides if side.divergence), default=None)
    differences = {pair.node: pair.difference for pair in found.pairs}
    for side in found.sides:
        yield from _side(side, differences, depth)
    yield found.verdict
    if out is not None:
        yield str(out / "bisect.html")
    if found.reproducer:
        yield f"reproduce: python {found.reproducer}/run.py"


def _side(side: Side, differences: Mapping[str, float], depth: int | None) -> Iterator[str]:
    from convert.bisect.page import around, error

    yield (
        f"{side.artifact}: {side.target}@{side.precision} ({side.mode}): {len(side.rows)} tensors matched, "
        f"{len(side.unmatched)} of the artifact unmatched, {len(side.hidden)} operators fused or folded"
    )
    for note in side.notes:
        yield f"  note: {note}"
    between = "  between" if differences else ""
    yield f"    {'operator':28} {'kind':28} {'own':>8} {'accum.':>8} {'SQNR dB':>8}{between}"
    shown = around(side.rows, depth, ROWS)
    for index in shown:
        row = side.rows[index]
        mark = ">>" if index == side.first else " !" if row.excess > side.allowance else "  "
        values = f"{error(row.own):>8} {error(row.accumulated):>8} {row.sqnr_db:8.1f}"
        other = differences.get(row.stretch[-1])
        last = "" if not differences else f"  {'–' if other is None else error(other):>7}"
        yield f" {mark} {row.node:28} {row.op:28} {values}{last}"
    if len(shown) < len(side.rows):
        yield f"    … {len(side.rows) - len(shown)} more; --json lists all"
