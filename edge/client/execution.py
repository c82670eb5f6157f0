"""One call on its way: the side that was decided on, its hedge, its fallback, and the first answer. docs/client.md."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from edge.client.answers import Attempt, SideAnswer
from edge.client.errors import Blocked, CallFailed, DeadlineMissed
from edge.client.transport import now_ms
from edge.serve.call import Decision, Side
from edge.serve.errors import DeadlinePassed

_TIDY_S = 0.25  # for a side that lost to close its connection, before the answer is returned without it


@dataclass(slots=True, eq=False)
class Execution:
    """A decision that is carried out; times in milliseconds of `now_ms`.

    `ends` is when the call fails; None without a deadline.
    """

    decision: Decision
    deadline_ms: float | None  # left when it was decided
    began: float  # when the caller called
    decided: float = field(default_factory=now_ms)
    attempts: list[Attempt] = field(default_factory=list)
    tasks: dict[Side, asyncio.Task[SideAnswer]] = field(default_factory=dict)
    errors: list[BaseException] = field(default_factory=list)

    @property
    def ends(self) -> float | None:
        """Return when the call fails."""
        return None if self.deadline_ms is None else self.decided + self.deadline_ms

    async def run(self, start: Mapping[Side, Callable[[], Awaitable[SideAnswer]]]) -> SideAnswer:
        """Return the first answer of any side; raises CallFailed or DeadlineMissed, and leaves nothing running."""
        try:
            if self.decision.run_on != "unavailable":
                self._begin(self.decision.run_on, start)
            while True:
                answer = await self._step(start)
                if answer is not None:
                    return answer
        finally:
            await self._tidy()

    async def _step(self, start: Mapping[Side, Callable[[], Awaitable[SideAnswer]]]) -> SideAnswer | None:
        """Wait for the next thing to happen, and return an answer if that was one."""
        running = [task for task in self.tasks.values() if not task.done()]
        if not running:
            raise self._failure()
        hedge = self._hedge_at()
        moments = [at for at in (self.ends, hedge) if at is not None]
        timeout_s = max(min(moments) - now_ms(), 0.0) / 1e3 if moments else None
        done, _ = await asyncio.wait(running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for answer in self._answers(done):
            return answer
        if self.ends is not None and now_ms() >= self.ends:
            raise self._missed()
        fallback = self.decision.fallback
        late = hedge is not None and now_ms() >= hedge
        if fallback is not None and fallback not in self.tasks and (done or late):
            self._begin(fallback, start)
        return None

    def _answers(self, done: set[asyncio.Task[SideAnswer]]) -> Iterator[SideAnswer]:
        for task in done:
            if task.cancelled():
                self.errors.append(Blocked("consent_denied", "consent was withdrawn while the request was on its way"))
            elif (error := task.exception()) is not None:
                self.errors.append(error)
            else:
                yield task.result()

    def _begin(self, side: Side, start: Mapping[Side, Callable[[], Awaitable[SideAnswer]]]) -> None:
        async def attempt() -> SideAnswer:
            return await start[side]()

        self.tasks[side] = asyncio.ensure_future(attempt())

    def _hedge_at(self) -> float | None:
        after = self.decision.hedge_after_ms
        return None if after is None or "device" in self.tasks else self.decided + after

    async def _tidy(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks.values(), timeout=_TIDY_S)
        self.attempts.sort(key=lambda attempt: attempt.began_ms)

    def _failure(self) -> CallFailed | DeadlineMissed:
        last = self.errors[-1]
        if isinstance(last, DeadlinePassed):
            return self._missed()
        tried = "; ".join(f"{attempt.side}: {attempt.error or attempt.outcome}" for attempt in self.attempts)
        failure = CallFailed(f"no side answered: {tried}", self.decision, ())
        failure.__cause__ = last
        return failure

    def _missed(self) -> DeadlineMissed:
        limit = self.decision.timeout_ms if self.deadline_ms is None else self.deadline_ms
        tried = " and ".join(self.tasks) or "no side"
        missed = DeadlineMissed(f"no answer within {limit:.0f} ms; tried: {tried}", self.decision, ())
        missed.__cause__ = self.errors[-1] if self.errors else None
        return missed
