"""Several requests as one batch: joined by rows, run once, taken apart again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from edge.errors import EdgeError, TargetError
from edge.serve.errors import DeadlinePassed, ServeError
from edge.server.engine import Arrays, Engine

Clock = Callable[[], float]


@dataclass(slots=True)
class Job:
    """A request's tensors; `gone` is set when nobody waits for the answer any more. Times are of a monotonic clock."""

    inputs: Arrays = field(repr=False)
    deadline_s: float
    queued_s: float
    gone: bool = False

    @property
    def rows(self) -> int:
        """Return how many rows of a batch the request takes."""
        first = next(iter(self.inputs.values()))
        return first.shape[0] if first.ndim else 1


@dataclass(frozen=True, slots=True)
class Answer:
    """A request's outputs, and how long it waited and ran, in seconds."""

    outputs: Arrays = field(repr=False)
    queue_s: float
    infer_s: float
    batch_rows: int


Outcome = Answer | ServeError


async def run_batch(
    engine: Engine, jobs: Sequence[Job], thread: Executor, clock: Clock = time.monotonic
) -> list[Outcome]:
    """Return an outcome for every job; those that nobody waits for, or that are late already, are not run.

    The model runs in `thread`, so that requests are read and answered meanwhile.
    """
    start_s = clock()
    live = [job for job in jobs if not job.gone and job.deadline_s > start_s]
    found: dict[int, Outcome] = {}
    for group in _alike(live) if engine.joins else [[job] for job in live]:
        begin_s = clock()
        outcomes = await asyncio.get_running_loop().run_in_executor(thread, _run, engine, group, begin_s, clock)
        found.update({id(job): outcome for job, outcome in zip(group, outcomes, strict=True)})
    return [found.get(id(job), _LATE) for job in jobs]


_LATE = DeadlinePassed("the deadline passed while the request waited for its turn")


def _alike(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return the jobs that can be joined, together: all of them where the first axis is open."""
    groups: dict[tuple[tuple[int, ...], ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault(tuple(array.shape[1:] for array in job.inputs.values()), []).append(job)
    return list(groups.values())


def _run(engine: Engine, jobs: Sequence[Job], begin_s: float, clock: Clock) -> list[Outcome]:
    try:
        parts = _parts(engine.run(_joined(jobs)), jobs)
    except EdgeError as error:
        return [ServeError(f"the model failed: {error}") for _ in jobs]
    except Exception as error:  # whatever a runtime raises; its words may quote tensors, so they are left out
        return [ServeError(f"the model failed with {type(error).__name__}") for _ in jobs]
    took_s, rows = clock() - begin_s, sum(job.rows for job in jobs)
    return [Answer(part, begin_s - job.queued_s, took_s, rows) for job, part in zip(jobs, parts, strict=True)]


def _joined(jobs: Sequence[Job]) -> Arrays:
    if len(jobs) == 1:
        return jobs[0].inputs
    return {name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs}


def _parts(outputs: Arrays, jobs: Sequence[Job]) -> list[Arrays]:
    if len(jobs) == 1:
        return [outputs]
    *ends, rows = np.cumsum([job.rows for job in jobs]).tolist()
    wrong = [name for name, array in outputs.items() if array.shape[:1] != (rows,)]
    if wrong:  # else somebody would be handed another's rows
        raise TargetError(f"output {wrong[0]} has shape {list(outputs[wrong[0]].shape)} for {rows} rows")
    split = {name: np.split(array, ends) for name, array in outputs.items()}
    return [{name: parts[index] for name, parts in split.items()} for index in range(len(jobs))]
