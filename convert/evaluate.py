"""Artifact + pictures → Evaluation: the task's metric over a data set, against the eager fp32 model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.expect import Expected, expectations
from convert.header import read_header
from convert.reference import Sample
from convert.targets import TARGETS
from convert.verify import predict, run_sample
from edge.artifact import read_manifest
from edge.contract import image_contract
from edge.errors import Refused
from edge.evaluation import Evaluation
from edge.images import read_image
from edge.jobs import Job, progressing, run_job
from edge.runtimes import open_session
from edge.tasks import TASKS, Task

EVALUATE_TIMEOUT_S = 1800.0
LEAST_PICTURES = 8  # whatever the time limit
_RESAMPLES = 2000
_GOLDEN = (5**0.5 - 1) / 2


def evaluate_in_child(
    artifact: Path, prepared: Path, pictures: Sequence[Path], data: str, log: Path, *, budget_s: float | None = None
) -> Evaluation:
    """Execute an artifact on pictures in a child process; `data` names them in reports.

    With `budget_s` it stops after that many seconds, but not before 8 pictures: they are taken evenly from the set,
    and the evaluation counts them. Raises Refused if the eager model finds nothing in any picture, Unexecutable if
    the artifact cannot be executed here.
    """
    expected = expectations(prepared, pictures, log)
    if not expected:
        raise Refused(
            f"the eager model finds nothing in any of the {len(pictures)} pictures of {data}; give others with "
            "--evaluation DIR"
        )
    payload = {
        "artifact": str(artifact),
        "prepared": str(prepared),
        "pictures": [str(path.resolve()) for path in pictures],
        "data": data,
        "log": str(log),
        "budget_s": budget_s,
    }
    target = read_manifest(artifact).manifest.target
    job = Job(
        function="convert.evaluate:evaluate_job",
        payload=payload,
        log=log,
        timeout_s=EVALUATE_TIMEOUT_S,
        environment=TARGETS[target].environment(),
    )
    return msgspec.convert(run_job(job), Evaluation)


def evaluate_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run an artifact on pictures and measure it; the child-process side of `evaluate_in_child`."""
    artifact = read_manifest(Path(payload["artifact"]))
    prepared = Path(payload["prepared"])
    contract = image_contract(read_header(prepared).contract)
    task = TASKS[contract.task]
    expected = expectations(prepared, [Path(path) for path in payload["pictures"]], Path(payload["log"]))
    session = open_session(artifact)
    end = time.monotonic() + payload["budget_s"] if payload["budget_s"] is not None else float("inf")
    rows, scores = [], []
    named = f"{artifact.manifest.target}@{artifact.manifest.precision}: evaluate"
    for item in progressing(list(evenly(expected)), named):
        image = read_image(item.image)
        inputs, frame = task.prepare(image, contract, item.region)
        sample = Sample(item.image, frame, inputs, {})
        answer = run_sample(session, artifact, contract, sample)
        result = predict(session, answer, contract, sample, item.result)
        rows.append(task.measure(result, item.result))
        scores.append(task.compare(result, item.result))
        if time.monotonic() > end and len(rows) >= LEAST_PICTURES:
            break
    evaluation = summarize(task, np.stack(rows), min(scores), payload["data"])
    plain: dict[str, Any] = msgspec.to_builtins(evaluation)
    return plain


def evenly(items: Sequence[Expected]) -> Iterator[Expected]:
    """Yield all items in an order whose beginnings are spread over the whole sequence.

    Multiples of the golden ratio modulo 1 leave gaps of at most three lengths (Sós 1958), so those under any bound lie
    at nearly even distances.
    """
    for index in sorted(range(len(items)), key=lambda i: (i * _GOLDEN) % 1.0):
        yield items[index]


def summarize(task: Task, rows: NDArray[np.float64], worst: float, data: str) -> Evaluation:
    """Return the metric over all rows (pictures, numbers) with its percentile-bootstrap interval, seeded.

    Source: Efron, Bootstrap Methods (1979). One picture alone has no interval: it is the value.
    """
    value = task.total(rows)
    low = high = value
    if len(rows) > 1 and np.ptp(rows, axis=0).any():
        from scipy.stats import bootstrap

        found = bootstrap(
            (np.arange(len(rows)),),
            lambda picked: task.total(rows[picked]),
            vectorized=False,
            n_resamples=_RESAMPLES,
            method="percentile",
            random_state=np.random.default_rng(0),
        ).confidence_interval
        low, high = float(found.low), float(found.high)
    return Evaluation(data=data, count=len(rows), metric=task.metric, value=value, ci95=(low, high), worst=float(worst))
