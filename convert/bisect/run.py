"""One or two artifacts → Bisection: trace each in a child process of its own, then join what they found."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from convert.bisect.page import write_page
from convert.bisect.records import Bisection, Pair, Row, Side
from convert.build import execution_environment
from edge.artifact import Artifact, encode_json, write_atomic
from edge.errors import UsageError
from edge.jobs import Job, run_job

RESULT = "bisect.json"
REPRODUCER = "reproducer"
TRACE_TIMEOUT_S = 3600.0
_OURS = "run.py"


def check_pair(artifacts: Sequence[Artifact]) -> None:
    """Raise UsageError unless all artifacts were made from the same weights of the same model."""
    first = artifacts[0]
    for other in artifacts[1:]:
        if other.manifest.model != first.manifest.model:
            raise UsageError(
                f"{first.root} is {first.manifest.model}, {other.root} is {other.manifest.model}; "
                "give two artifacts of the same model"
            )
        if other.manifest.source.sha256 != first.manifest.source.sha256:
            raise UsageError(
                f"{first.root} was made from weights {first.manifest.source.sha256[:16]}…, {other.root} from "
                f"{other.manifest.source.sha256[:16]}…; deploy both from one checkpoint"
            )


def bisect(
    artifacts: Sequence[Artifact],
    prepared: Path,
    scratch: Path,
    log: Path,
    *,
    image: Path | None = None,
    out: Path | None = None,
    progress: Callable[[str], None] = print,
) -> Bisection:
    """Trace artifacts on one input and say where the first operator diverges; files go to `out` if it is given.

    `image` replaces the prepared pictures as the input. Raises what a trace raises, UsageError for different models.
    """
    check_pair(artifacts)
    sides: list[Side] = []
    inputs = ""
    for index, artifact in enumerate(artifacts):
        progress(f"trace    {artifact.manifest.target}@{artifact.manifest.precision}: {artifact.root}")
        payload = {
            "artifact": str(artifact.root.resolve()),
            "prepared": str(prepared),
            "folder": str(scratch / str(index)),
            "image": str(image.resolve()) if image else "",
        }
        environment = execution_environment(artifact.manifest)
        job = Job(
            function="convert.bisect.trace:trace_job",
            payload=payload,
            log=log,
            timeout_s=TRACE_TIMEOUT_S,
            environment=environment,
        )
        answer = run_job(job)
        side = msgspec.convert(answer["side"], Side)
        sides.append(msgspec.structs.replace(side, artifact=str(artifact.root)))
        inputs = str(answer["inputs"])
    pairs = _pairs(sides, scratch) if len(sides) > 1 else ()
    found = conclude(artifacts[0].manifest.model, inputs, sides, pairs)
    return found if out is None else _publish(found, scratch, out)


def conclude(model: str, inputs: str, sides: Sequence[Side], pairs: Sequence[Pair]) -> Bisection:
    """Say which side's operator is the first, in the program's order, to be off by itself."""
    bad = [(side.divergence.depth, index) for index, side in enumerate(sides) if side.divergence is not None]
    result = Bisection(model=model, inputs=inputs, sides=tuple(sides), pairs=tuple(pairs))
    if not bad:
        return msgspec.structs.replace(result, verdict=_agreement(sides))
    side = sides[min(bad)[1]]
    row = side.divergence
    if row is None:
        raise RuntimeError("a divergence without a row")
    return msgspec.structs.replace(
        result,
        operator=row.node,
        op=row.op,
        stretch=row.stretch,
        artifact=side.artifact,
        verdict=_blame(side, row),
    )


def _blame(side: Side, row: Row) -> str:
    others = ", ".join(name for name in row.stretch if name != row.node)
    among = f", which the artifact runs as one with {others}," if others else ""
    before = [entry for entry in side.rows if entry.depth < row.depth]
    fine = f"{len(before)} matched tensors before it agree" if before else "it is the first matched tensor"
    return (
        f"{side.target}@{side.precision} diverges at {row.node} ({row.op}){among}: on the artifact's own inputs it is "
        f"off by {_number(row.own)} of its rms, {_number(side.allowance)} is allowed; {fine}"
    )


def _agreement(sides: Sequence[Side]) -> str:
    ends = []
    for side in sides:
        worst = max((row.accumulated for row in side.rows if row.how == "output"), default=0.0)
        ends.append(f"{side.target}@{side.precision} ends {_number(worst)} off its eager outputs")
    return f"no operator diverges by itself; {', '.join(ends)}, in steps that rounding explains"


def _number(value: float) -> str:
    return "not a number" if value > 1e30 else f"{value:.2g}"


def _pairs(sides: Sequence[Side], scratch: Path) -> tuple[Pair, ...]:
    """Compare the tensors that both artifacts have, by the operator's name in their programs."""
    from edge.runtimes._taps import relative_difference

    pairs = []
    with np.load(scratch / "0" / "tensors.npz") as left, np.load(scratch / "1" / "tensors.npz") as right:
        for row in sides[0].rows:
            name = row.stretch[-1]
            if name in right.files and left[name].shape == right[name].shape:
                error = min(relative_difference(right[name], left[name]), 1e300)
                pairs.append(Pair(node=name, depth=row.depth, difference=error))
    return tuple(pairs)


def _publish(found: Bisection, scratch: Path, out: Path) -> Bisection:
    out.mkdir(parents=True, exist_ok=True)
    target = out / REPRODUCER
    if (target / _OURS).is_file():  # of an earlier bisection
        shutil.rmtree(target)
    for index, side in enumerate(found.sides):
        if found.diverges and side.artifact == found.artifact:
            shutil.copytree(scratch / str(index) / REPRODUCER, target)
            found = msgspec.structs.replace(found, reproducer=str(target))
            break
    write_atomic(out / RESULT, encode_json(found))
    write_page(found, out)
    return found
