"""Places in a replica, and requests that become one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fakes import Arrays, doubled, engine_of, row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.contract import Contract, TensorSpec
from edge.errors import TargetError
from edge.serve.errors import Busy, DeadlinePassed, ServeError
from edge.server.admission import Admission
from edge.server.batch import Answer, Job, Outcome, run_batch
from edge.server.engine import Engine

CONTRACT = Contract(inputs=(TensorSpec(name="x", shape=(1, 4)),), outputs=(TensorSpec(name="y", shape=(1, 4)),))


def batch(engine: Engine, jobs: Sequence[Job], now_s: float = 0.0) -> list[Outcome]:
    with ThreadPoolExecutor(1) as thread:
        return asyncio.run(run_batch(engine, jobs, thread, clock=lambda: now_s))


def job(value: float = 1.0, rows: int = 1, deadline_s: float = 10.0, **said: Any) -> Job:
    return Job({"x": row(value, rows)}, deadline_s, 0.0, **said)


def counting(run: Any = doubled) -> tuple[Engine, list[int]]:
    ran: list[int] = []

    def counted(inputs: Arrays) -> Any:
        ran.append(len(inputs["x"]))
        return run(inputs)

    return engine_of(CONTRACT, counted), ran


def outputs(outcome: Outcome) -> Any:
    assert isinstance(outcome, Answer)
    return outcome.outputs["y"]


def test_places_are_bounded_and_come_back() -> None:
    admission = Admission(2)
    with admission.enter(), admission.enter():
        with pytest.raises(Busy, match="2 requests are waiting") as caught, admission.enter():
            pass
        assert caught.value.retry_after_s == 1
        assert (admission.inside, admission.refused) == (2, 1)
    with pytest.raises(KeyError), admission.enter():
        raise KeyError
    assert admission.inside == 0


def test_the_wait_is_what_the_queue_takes() -> None:
    admission = Admission(1000)
    admission.note(0.5)
    admission.inside = 7
    assert admission.wait_s() == 4
    admission.note(1.5)
    assert admission.wait_s() == 5  # 7 · 0.7 s
    admission.inside = 1000
    assert admission.wait_s() == 60


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(-100, 100, width=32), st.integers(1, 5)), min_size=1, max_size=8))
def test_requests_joined_are_answered_as_alone(asked: list[tuple[float, int]]) -> None:
    engine, ran = counting()
    jobs = [job(value, rows) for value, rows in asked]
    together = batch(engine, jobs)
    assert ran == [sum(rows for _, rows in asked)]
    for one, outcome in zip(jobs, together, strict=True):
        assert np.array_equal(outputs(outcome), doubled(one.inputs)["y"])
        assert isinstance(outcome, Answer)
        assert outcome.batch_rows == ran[0]


def test_late_and_abandoned_requests_are_not_run() -> None:
    engine, ran = counting()
    jobs = [job(1), job(2, deadline_s=5.0), job(3, gone=True), job(4)]
    found = batch(engine, jobs, now_s=5.0)
    assert ran == [2]
    assert isinstance(found[1], DeadlinePassed)
    assert isinstance(found[2], DeadlinePassed)
    assert outputs(found[3])[0, 0] == 9
    assert [outcome.queue_s for outcome in found if isinstance(outcome, Answer)] == [5.0, 5.0]


def test_without_anyone_waiting_nothing_runs() -> None:
    engine, ran = counting()
    assert all(isinstance(found, DeadlinePassed) for found in batch(engine, [job(gone=True), job(deadline_s=-1)]))
    assert ran == []


def test_shapes_that_differ_are_run_apart() -> None:
    engine, ran = counting()
    wide = Job({"x": np.ones((2, 6), np.float32)}, 10.0, 0.0)
    found = batch(engine, [job(1), wide, job(2)])
    assert sorted(ran) == [2, 2]
    assert [outputs(outcome).shape for outcome in found] == [(1, 4), (2, 6), (1, 4)]


def test_a_failure_is_everyones_of_its_batch_and_quotes_nothing() -> None:
    def broken(inputs: Arrays) -> Any:
        raise ValueError(f"cannot take {inputs['x'].tolist()}")

    found = batch(counting(broken)[0], [job(123.25), job(2)])
    assert [str(outcome) for outcome in found] == ["the model failed with ValueError"] * 2
    assert all(isinstance(outcome, ServeError) and outcome.status == 500 for outcome in found)


def test_a_runtimes_own_error_is_passed_on() -> None:
    def refuse(inputs: Arrays) -> Any:
        raise TargetError("out of memory")

    assert "out of memory" in str(batch(counting(refuse)[0], [job()])[0])


@pytest.mark.parametrize("found", [{"y": np.zeros((1, 4))}, {"y": np.zeros((5, 4))}, {"y": np.float32(1)}])
def test_an_engine_that_answers_for_another_number_of_rows(found: Any) -> None:
    """Nobody is handed somebody else's rows."""
    outcomes = batch(counting(lambda inputs: found)[0], [job(1), job(2)])
    assert all(isinstance(outcome, ServeError) for outcome in outcomes)
    assert len(outcomes) == 2


def test_a_scalar_input_is_one_row() -> None:
    assert Job({"x": np.array(1.0)}, 1.0, 0.0).rows == 1


def test_models_with_a_fixed_first_axis_are_never_joined() -> None:
    engine, ran = counting()
    fixed = engine_of(CONTRACT, engine.run, rows=False)
    found = batch(fixed, [job(1), job(2)])
    assert ran == [1, 1]
    assert [outputs(outcome)[0, 0] for outcome in found] == [3, 5]
