"""Attempts of both sides within one call: their limits, their retry, and the record that each leaves."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edge.client.answers import Attempt, Outcome, SideAnswer, Spans
from edge.client.breaker import Admission, Result
from edge.client.budget import leaves_time, retry_delay_ms
from edge.client.errors import Blocked, Cut, Unreachable
from edge.client.execution import Execution
from edge.client.local import Local
from edge.client.policy import connect_limit_ms, server_limit_ms
from edge.client.remote import Remote, Trip
from edge.client.smoothing import DeviceEstimates
from edge.client.transport import Wire, now_ms
from edge.client.work import Work
from edge.serve.call import Call, Side
from edge.serve.errors import AnswerError, Busy, DeadlinePassed, RequestError, ServeError, TooManyRequests
from edge.serve.policy import HOT, HOT_HEADROOM, SERVER_TIMEOUT_MS

Permit = Callable[[], str]  # the code of a gate that closed since the decision, empty if none did


@dataclass(slots=True)
class _Record:
    """What is known of an attempt while it runs."""

    side: Side
    began: float = field(default_factory=now_ms)
    outcome: Outcome = "failed"
    error: str = ""
    spans: Spans = field(default_factory=Spans)
    sent: bool = False
    payload_bytes: int = 0


@contextlib.contextmanager
def _recording(execution: Execution, side: Side) -> Iterator[_Record]:
    record = _Record(side)
    try:
        yield record
        record.outcome = "answered"
    except asyncio.CancelledError:
        record.outcome = "abandoned" if record.outcome == "abandoned" else "cancelled"
        raise
    except Exception as error:
        record.outcome = _outcome(error)
        record.error = str(error).strip().split("\n", 1)[0] or type(error).__name__
        raise
    finally:
        attempt = Attempt(
            side=side, outcome=record.outcome, began_ms=record.began - execution.began,
            ended_ms=now_ms() - execution.began, spans=record.spans, error=record.error, sent=record.sent,
            payload_bytes=record.payload_bytes,
        )  # fmt: skip
        execution.attempts.append(attempt)


def _outcome(error: Exception) -> Outcome:
    if isinstance(error, Blocked):
        return "not_sent"
    return "timed_out" if isinstance(error, DeadlinePassed) else "failed"


async def run_device(
    local: Local, estimates: DeviceEstimates, work: Work, call: Call, execution: Execution, clock: Callable[[], float]
) -> SideAnswer:
    """Run the artifact; what a cancelled call leaves behind computes to its end."""
    with _recording(execution, "device") as record:
        job = local.submit(work)
        try:
            run = await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            record.outcome = "abandoned" if local.abandon(job) else "cancelled"
            raise
        record.spans = run.spans
        if not run.first:
            estimates.observe(run.duration_ms, clock(), cool=_is_cool(call))
        return run.answer


async def run_server(remote: Remote, work: Work, call: Call, execution: Execution, permit: Permit) -> SideAnswer:
    """Ask the server, and once more where nothing else can answer and the budget and the time allow it."""
    ends = _server_ends(execution)
    remote.budget.earn()
    try:
        return await _ask(remote, work, call, execution, permit, ends)
    except (Unreachable, Busy) as error:
        delay = _retry_after(remote, execution, error, ends - now_ms())
        if delay is None:
            raise
    await asyncio.sleep(delay / 1e3)
    return await _ask(remote, work, call, execution, permit, ends)


def _server_ends(execution: Execution) -> float:
    """Return when the server's time is over, in milliseconds of `now_ms`."""
    decision = execution.decision
    if decision.run_on == "server":
        limit = server_limit_ms(decision, execution.deadline_ms)
        return execution.decided + (SERVER_TIMEOUT_MS if limit is None else limit)
    return now_ms() + SERVER_TIMEOUT_MS if execution.ends is None else execution.ends


def _retry_after(remote: Remote, execution: Execution, error: Exception, left_ms: float) -> float | None:
    """Return how long to wait before a retry, None for no retry: the device takes over for nothing where it can."""
    if _device_is_open(execution):
        return None
    named = error.retry_after_s or None if isinstance(error, Busy) else None
    delay = retry_delay_ms(named, random.random)
    if not leaves_time(delay, execution.decision.server_ms, left_ms) or not remote.budget.spend():
        return None
    return delay


def _device_is_open(execution: Execution) -> bool:
    """Say whether the device can still answer this call."""
    task = execution.tasks.get("device")
    return not task.done() if task is not None else execution.decision.fallback == "device"


async def _ask(remote: Remote, work: Work, call: Call, execution: Execution, permit: Permit, ends: float) -> SideAnswer:
    trip = Trip(Wire(now_ms()))
    with _recording(execution, "server") as record:
        admission = _admit(remote, permit)
        result: Result = "undecided"
        try:
            answer = await _within(remote, work, call, execution, trip, ends)
            result = "succeeded"
            return answer
        except Exception as error:
            result = _verdict(error) if trip.tried else "undecided"
            if isinstance(error, Busy | TooManyRequests):
                remote.estimates.announced(min(error.retry_after_s, 60), remote.now())
            raise
        finally:
            if result == "undecided" or trip.wire.head is None:
                remote.given_up(trip)
            admission.settle(result)
            record.spans, record.sent, record.payload_bytes = trip.spans(), trip.sent, trip.payload_bytes


async def _within(remote: Remote, work: Work, call: Call, execution: Execution, trip: Trip, ends: float) -> SideAnswer:
    """Ask within the time that is left; raises DeadlinePassed after it, having closed the connection."""
    left_ms = ends - now_ms()
    if left_ms <= 0:
        raise DeadlinePassed("no time was left to ask the server")
    cap = None if call.network.metered is False else call.metered_cap_bytes
    connect_ms = connect_limit_ms(left_ms, spare=_device_is_open(execution))
    try:
        async with asyncio.timeout(left_ms / 1e3):
            return await remote.infer(work, trip, limit_ms=left_ms, connect_ms=connect_ms, cap_bytes=cap)
    except TimeoutError:
        raise DeadlinePassed(f"the server did not answer within {left_ms:.0f} ms") from None


def _admit(remote: Remote, permit: Permit) -> Admission:
    if code := permit():
        raise Blocked(code, f"nothing was sent: {code}")
    admission = remote.breaker.admit()
    if admission is None:
        raise Blocked("breaker_open", f"{remote.endpoint.url} failed too often and is left alone for a while")
    return admission


def _verdict(error: Exception) -> Result:
    """Return what an error says about the server's health: a refusal of this request is a sign of life."""
    if isinstance(error, TooManyRequests | Blocked):
        return "undecided"
    if isinstance(error, Unreachable | Cut | AnswerError):
        return "failed"
    if isinstance(error, ServeError):
        return "succeeded" if isinstance(error, RequestError) else "failed"
    return "undecided"


def _is_cool(call: Call) -> bool:
    headroom = call.device.thermal_headroom
    hot = call.device.thermal in HOT or (headroom is not None and headroom >= HOT_HEADROOM)
    return not hot and call.device.thermal != "moderate"
