"""What launches print is read whole, and what is no event does no harm."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.profile.board.loop import Events, Limits, measure, status_bytes, warm_up
from edge.profile.devices import Ended
from edge.profile.events import launch_of, problem_of, read_events

WHOLE = "\n".join(
    [
        '{"k":"start","schema":1,"runtime":"onnxruntime","version":"1.31.1","threads":2}',
        '{"k":"load","ns":1181000,"cold":true}',
        '{"k":"first","ns":913000}',
        '{"k":"warm","t":0,"ns":402000}',
        '{"k":"steady","value":true}',
        '{"k":"run","t":0,"ns":345000}',
        "a runtime's chatter",
        '{"k":"run","t":400000,"ns":346000}',
        '{"k":"load","ns":604000,"cold":false}',
        '{"k":"memory","before":31457280,"peak":52428800,"pss":44040192}',
        '{"k":"peaks","flops":{"float32":1e11},"bytes_per_s":1.5e10,"how":"FMA"}',
        '{"k":"end"}',
        "",
    ]
)


def ended(code=0, output=WHOLE, errors="", problem=""):
    return Ended(code=code, output=output, errors=errors, problem=problem)


def test_a_whole_launch_is_read():
    found = read_events(WHOLE)
    assert (found.runtime, found.threads) == ("onnxruntime 1.31.1", 2)
    assert (found.cold_load_ns, found.warm_load_ns, found.first_ns) == (1181000, 604000, 913000)
    assert (found.warmup_ns, found.runs_ns, found.starts_ns) == ((402000,), (345000, 346000), (0, 400000))
    assert found.steady
    assert found.memory.pss_bytes == 44040192
    assert found.peaks.flops_per_s == {"float32": 1e11}
    assert problem_of(ended(), found) == ""
    assert launch_of(found, 3, starts=True).starts_ns == (0, 400000)
    assert launch_of(found, 3).starts_ns == ()


@given(st.integers(0, len(WHOLE)))
def test_a_killed_launch_keeps_its_whole_lines(length):
    cut = WHOLE[:length]
    found = read_events(cut)
    assert len(found.runs_ns) >= cut.count('"k":"run"') - 1
    if not found.ended:
        assert "code 137" in problem_of(ended(code=137, output=cut), found)


@given(st.lists(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text() | st.booleans(),
       lambda inner: st.dictionaries(st.sampled_from(["k", "ns", "t", "flops", "before", "peak"]), inner)
       | st.lists(inner), max_leaves=5).map(json.dumps))))  # fmt: skip
def test_garbage_is_passed_over(lines):
    found = read_events("\n".join(lines))
    assert len(found.runs_ns) == len(found.starts_ns)
    assert all(value >= 0 for value in found.runs_ns)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (ended(problem="it ran past its 5 s"), "it ran past its 5 s"),
        (ended(code=1, output='{"k":"error","type":"TargetError","message":"damaged"}'), "damaged"),
        (ended(code=-9, output=""), "died from a signal"),
        (
            ended(code=7, output="", errors="a\nb\nout of memory\n"),
            "ended with code 7 before it had measured: a / b / o",
        ),
    ],
)
def test_a_launch_that_fails_says_why(told, expected):
    assert expected in problem_of(told, read_events(told.output))


def test_the_loop_prints_what_is_read():
    stream, calls = io.StringIO(), []
    measure(lambda: lambda: calls.append(1), Limits(min_runs=5, min_seconds=0.0), Events(stream))
    found = read_events(stream.getvalue())
    assert found.steady or len(found.warmup_ns) == 50
    assert len(found.runs_ns) == 5
    assert len(calls) == 1 + len(found.warmup_ns) + 5
    assert found.cold_load_ns is not None
    assert found.warm_load_ns is not None
    assert list(found.starts_ns) == sorted(found.starts_ns)


def test_a_sustained_launch_lasts_as_long_as_it_should_and_loads_once():
    stream = io.StringIO()
    measure(lambda: lambda: sum(range(1000)), Limits(seconds=0.2, warmup_runs=0), Events(stream))
    found = read_events(stream.getvalue())
    assert found.starts_ns[-1] >= 0.199e9
    assert found.warm_load_ns is None


def test_warming_up_ends_at_its_limits():
    slow = iter(range(1, 1000))
    assert warm_up(lambda: sum(range(next(slow) * 400)), Limits(warmup_runs=25), Events(io.StringIO())) in (True, False)
    stream = io.StringIO()
    assert warm_up(lambda: None, Limits(warmup_runs=3), Events(stream)) is False
    assert len(read_events(stream.getvalue()).warmup_ns) == 3


def test_memory_of_a_process_is_read_from_proc(tmp_path):
    assert status_bytes("/proc/self/status", "VmHWM:") > 1 << 20
    assert status_bytes(str(tmp_path / "none"), "VmHWM:") == 0
