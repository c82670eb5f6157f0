"""Requests that wait while the model runs: the next batch is as full as it can be, in order, and loses nobody."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from fakes import TENSORS, Arrays, doubled, engine_of, row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import TargetError
from edge.serve.errors import ServeError
from edge.server.batch import Answer, Job
from edge.server.engine import Engine
from edge.server.queue import BatchQueue


class Busy:
    """A model that runs for as long as `gate` is closed; `ran` holds what it was given."""

    def __init__(self, batched: bool = True, run: Callable[[Arrays], Any] = doubled) -> None:
        self.gate, self._run = threading.Event(), run
        self.ran: list[list[float]] = []
        self.engine: Engine = dataclasses.replace(engine_of(TENSORS, self._gated), batched=batched)

    def _gated(self, inputs: Arrays) -> Any:
        self.ran.append(inputs["x"][:, 0].tolist())
        assert self.gate.wait(30)
        return self._run(inputs)


def job(value: float, rows: int = 1, **said: Any) -> Job:
    now_s = time.monotonic()
    return Job({"x": row(value, rows)}, now_s + 60, now_s, **said)


def with_queue(
    busy: Busy, asked: Callable[[BatchQueue], Awaitable[Any]], max_rows: int = 4, wait_s: float = 0.0
) -> Any:
    async def main() -> Any:
        queue = BatchQueue(busy.engine, max_rows, wait_s, time.monotonic)
        try:
            return await asked(queue)
        finally:
            busy.gate.set()
            queue.close()

    return asyncio.run(main())


async def behind(busy: Busy, queue: BatchQueue, jobs: list[Job]) -> list[Any]:
    """Let a first job keep the model busy until the others wait behind it; return the others' outcomes."""
    first = asyncio.ensure_future(queue.run(job(-1)))
    while not busy.ran:
        await asyncio.sleep(0.001)
    others = [asyncio.ensure_future(queue.run(one)) for one in jobs]
    await asyncio.sleep(0)
    busy.gate.set()
    await first
    return await asyncio.gather(*others, return_exceptions=True)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12))
def test_what_waits_is_joined_in_order_as_far_as_it_fits(sizes: list[int]) -> None:
    busy = Busy()
    jobs = [job(index, rows) for index, rows in enumerate(sizes)]
    answers = with_queue(busy, lambda queue: behind(busy, queue, jobs))
    for one, answer in zip(jobs, answers, strict=True):
        assert np.array_equal(answer.outputs["y"], doubled(one.inputs)["y"])
    batches = busy.ran[1:]
    assert [value for batch in batches for value in batch] == [index for index, n in enumerate(sizes) for _ in range(n)]
    assert all(len(batch) <= 4 for batch in batches)
    for batch, following in itertools.pairwise(batches):  # none was left waiting that had room
        assert len(batch) + sizes[int(following[0])] > 4


def test_a_model_that_gains_nothing_from_company_gets_one_at_a_time() -> None:
    busy = Busy(batched=False)
    answers = with_queue(busy, lambda queue: behind(busy, queue, [job(1), job(2), job(3)]))
    assert busy.ran == [[-1], [1], [2], [3]]
    assert [answer.batch_rows for answer in answers] == [1, 1, 1]


def test_who_has_left_is_not_run_and_holds_up_nobody() -> None:
    busy = Busy()

    async def some_leave(queue: BatchQueue) -> list[Any]:
        first = asyncio.ensure_future(queue.run(job(-1)))
        while not busy.ran:
            await asyncio.sleep(0.001)
        left = [asyncio.ensure_future(queue.run(job(1))), asyncio.ensure_future(queue.run(job(2, gone=True)))]
        stays = asyncio.ensure_future(queue.run(job(3)))
        await asyncio.sleep(0)
        left[0].cancel()
        busy.gate.set()
        await first
        answer = await stays
        left[1].cancel()
        return [answer]

    (answer,) = with_queue(busy, some_leave)
    assert busy.ran == [[-1], [3]]
    assert answer.batch_rows == 1


@pytest.mark.parametrize(("rows", "together"), [(2, True), (4, False)])
def test_a_batch_waits_for_company_until_it_is_full(rows: int, together: bool) -> None:
    """Two jobs that come 50 ms apart share a batch, unless the first one fills it."""
    busy = Busy()
    busy.gate.set()

    async def one_after_the_other(queue: BatchQueue) -> None:
        first = asyncio.ensure_future(queue.run(job(1, rows)))
        await asyncio.sleep(0.05)
        await asyncio.gather(first, queue.run(job(2)))

    with_queue(busy, one_after_the_other, wait_s=0.5)
    assert busy.ran == ([[1, 1, 2]] if together else [[1, 1, 1, 1], [2]])


def test_without_a_wait_a_lone_job_runs_at_once() -> None:
    busy = Busy()
    busy.gate.set()
    began_s = time.monotonic()
    answer: Answer = with_queue(busy, lambda queue: queue.run(job(1)))
    assert answer.batch_rows == 1
    assert time.monotonic() - began_s < 5


def test_a_failed_batch_is_answered_and_the_next_one_runs() -> None:
    def fails_once(inputs: Arrays) -> Any:
        if inputs["x"][0, 0] == 1:
            raise TargetError("out of memory")
        return doubled(inputs)

    busy = Busy(run=fails_once)
    bad, good = with_queue(busy, lambda queue: behind(busy, queue, [job(1, 4), job(2)]))
    assert isinstance(bad, ServeError)
    assert "out of memory" in str(bad)
    assert good.outputs["y"][0, 0] == 5


def test_a_fault_of_the_queue_itself_is_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("edge.server.queue.run_batch", broken)
    with pytest.raises(ServeError, match="ZeroDivisionError"):
        with_queue(Busy(), lambda queue: queue.run(job(1)))
