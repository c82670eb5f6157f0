"""The fallback policy: the table worked out by hand, and the golden vectors."""

from __future__ import annotations

import json
import math
import typing
from pathlib import Path
from typing import Any

import msgspec
import policy_table
import pytest

from edge.artifact import Fallback
from edge.errors import InputError
from edge.profile import records
from edge.serve import call as calls
from edge.serve.call import Call, Decision, Model, State
from edge.serve.policy import CONSTANTS, decide
from scripts.write_policy_vectors import GOLDEN, vectors

PAGE = Path(__file__).resolve().parents[3] / "docs" / "policy.md"


class Step(msgspec.Struct, forbid_unknown_fields=True):
    now_ms: int
    call: Call
    decision: Decision
    state: State


class Case(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    state: State
    steps: list[Step]


class Golden(msgspec.Struct, forbid_unknown_fields=True):
    schema: typing.Literal[1]
    constants: dict[str, float]
    cases: list[Case]


@pytest.fixture(scope="module")
def golden() -> Golden:
    return msgspec.json.decode(GOLDEN.read_bytes(), type=Golden)


@pytest.mark.parametrize("row", policy_table.TABLE, ids=lambda row: row.why)
def test_decides_as_the_page_says(row: policy_table.Row) -> None:
    decision, state = decide(row.call, row.state, policy_table.NOW)
    assert picked(decision, row.expect) == row.expect
    assert picked(state, row.after) == row.after


def picked(record: object, names: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def test_names_of_the_table_are_whole() -> None:
    reasons = {row.expect.get("reason") for row in policy_table.TABLE} - {None}
    assert reasons == set(flat(calls.Reason))
    assert len({row.why for row in policy_table.TABLE}) == len(policy_table.TABLE)


def flat(literal: Any) -> tuple[str, ...]:
    return typing.get_args(literal)


def test_golden_file_is_what_the_script_writes() -> None:
    assert GOLDEN.read_bytes() == vectors(), "run `make schema`"


def test_golden_vectors_are_reproduced_from_the_file_alone(golden: Golden) -> None:
    assert golden.constants == dict(CONSTANTS)
    assert len(golden.cases) >= 200
    assert len({case.name for case in golden.cases}) == len(golden.cases)
    for case in golden.cases:
        state = case.state
        for number, step in enumerate(case.steps):
            decision, state = decide(step.call, state, step.now_ms)
            assert (decision, state) == (step.decision, step.state), f"{case.name}, step {number}"


def test_golden_vectors_hold_every_outcome(golden: Golden) -> None:
    decisions = [step.decision for case in golden.cases for step in case.steps]
    assert {decision.reason for decision in decisions} == set(flat(calls.Reason))
    assert {decision.device_blocked for decision in decisions} == {None, *flat(calls.DeviceBlock)}
    assert {decision.server_blocked for decision in decisions} == {None, *flat(calls.ServerBlock)}
    assert {decision.run_on for decision in decisions} == set(flat(calls.RunOn))


def test_golden_file_names_every_field_and_holds_plain_numbers() -> None:
    def refuse(text: str) -> float:
        raise AssertionError(f"{text} is no number in JSON")

    steps = [step for case in json.loads(GOLDEN.read_text(), parse_constant=refuse)["cases"] for step in case["steps"]]
    for name, record in (("call", Call), ("decision", Decision), ("state", State)):
        assert all(step[name].keys() == set(record.__struct_fields__) for step in steps)


def test_page_tells_every_constant_field_and_reason() -> None:
    text = PAGE.read_text()
    parts = (calls.Model, calls.Device, calls.Network, calls.Server, Call, State, Decision)
    fields = {name for part in parts for name in part.__struct_fields__}
    missing = [name for name in (*CONSTANTS, *fields, *flat(calls.Reason)) if name not in text]
    assert not missing


def test_page_s_sequence() -> None:
    """The second table of the examples, row by row."""
    device_ms = [40.0] * 6 + [150.0] * 5 + [40.0] * 3
    state, told = State(), []
    for number, time in enumerate(device_ms):
        call = policy_table.vary(policy_table.BASE, deadline_ms=100.0, device_p90=time)
        decision, state = decide(call, state, 1_000 * number)
        told.append((decision.run_on, decision.reason, decision.hedge_after_ms, state.streak))
    assert told == [
        *[("device", "preferred", None, 0)] * 6,
        ("device", "held", None, 1),
        ("device", "held", None, 2),
        *[("server", "deadline", None, 0)] * 3,
        ("server", "held", 60.0, 1),
        ("server", "held", 60.0, 2),
        ("device", "preferred", None, 0),
    ]


def test_names_are_those_of_the_manifest_and_the_profile() -> None:
    assert flat(calls.Mode) == flat(typing.get_type_hints(Fallback)["policy"])
    assert flat(calls.Thermal) == flat(records.Thermal)
    assert Call().mode == Fallback().policy


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_refuses_numbers_that_mean_nothing(value: float) -> None:
    with pytest.raises(InputError, match="Model.p90_ms is"):
        Model(p90_ms=value)


def test_refuses_whole_numbers_that_a_double_cannot_hold() -> None:
    with pytest.raises(InputError, match="payload_bytes"):
        Call(payload_bytes=2**53 + 1)
