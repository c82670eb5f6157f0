"""Requests that wait for the model: joined into a batch in the moment the model is free.

Ray's `serve.batch` forms a batch when its first request arrives, and lets the batches wait instead: most of its batches
had one row here, under 32 clients.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from edge.serve.errors import ServeError
from edge.server.batch import Answer, Clock, Job, Outcome, run_batch
from edge.server.engine import Engine

_Waiting = tuple[Job, "asyncio.Future[Outcome]"]


class BatchQueue:
    """Run jobs in their order, joined up to `max_rows`; for one event loop, on which it has to be made.

    A batch that is not full waits until its first job is `wait_s` old. A model that gains nothing from company gets one
    job at a time, each answered as soon as it is done.
    """

    def __init__(self, engine: Engine, max_rows: int, wait_s: float, clock: Clock) -> None:
        self._engine, self._max_rows, self._wait_s, self._clock = engine, max_rows, wait_s, clock
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._working = asyncio.get_running_loop().create_task(self._work())

    async def run(self, job: Job) -> Answer:
        """Return the job's answer; raises ServeError where it has none."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        self._arrived.set()
        outcome = await future
        if isinstance(outcome, ServeError):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the thread; what waits is not run."""
        self._working.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while True:
            await self._settled()
            batch = self._take()
            outcomes = await self._outcomes([job for job, _ in batch])
            # Whoever waits is woken, but runs only after the next batch was begun: it encodes while the model works.
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)

    async def _settled(self) -> None:
        """Wait until a batch can begin: it is full, or its first job has waited long enough."""
        while True:
            self._drop_gone()
            self._arrived.clear()
            if self._waiting:
                left_s = self._waiting[0][0].queued_s + self._wait_s - self._clock()
                if left_s <= 0 or not self._engine.batched or self._rows() >= self._max_rows:
                    return
            try:
                async with asyncio.timeout(left_s if self._waiting else None):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    def _drop_gone(self) -> None:
        self._waiting = deque(waiting for waiting in self._waiting if not (waiting[0].gone or waiting[1].done()))

    def _rows(self) -> int:
        return sum(job.rows for job, _ in self._waiting)

    def _take(self) -> list[_Waiting]:
        """Return the first jobs, as many as fit; who does not fit is the first of the next batch."""
        batch = [self._waiting.popleft()]
        rows = batch[0][0].rows
        while self._engine.batched and self._waiting and rows + self._waiting[0][0].rows <= self._max_rows:
            batch.append(self._waiting.popleft())
            rows += batch[-1][0].rows
        return batch

    async def _outcomes(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        try:
            return await run_batch(self._engine, jobs, self._thread, self._clock)
        except Exception as error:  # a fault of ours: these jobs fail, those after them are run
            return [ServeError(f"the server failed with {type(error).__name__}") for _ in jobs]
