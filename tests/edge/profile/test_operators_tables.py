"""The normal form of a pass: sums, coverage, shares of time, the roofline, the requirement and the trace."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import TargetError, UsageError
from edge.profile.operators import Found, finish, is_remainder
from edge.profile.operators._samples import Launch, Row, combine
from edge.profile.peaks import read_peaks
from edge.profile.placement import parse_unit, unmet
from edge.profile.records import OperatorPass, Peaks
from edge.profile.roofline import OVERHEAD_BELOW, roof
from edge.profile.trace import trace, write_trace

PEAKS = Peaks(flops_per_s={"float32": 100e9, "int8": 400e9}, bytes_per_s=10e9, how="made up for this test")
UNITS = ("npu", "gpu", "cpu", "unknown")
_TIMES = st.floats(0.5, 1e5, allow_nan=False)


def _pass(*rows: tuple[str, str, float], whole: float | None = None, launches: int = 1) -> OperatorPass:
    made = tuple(
        Row(name=f"{kind} {number}", type=kind, unit=unit, backend=f"on {unit}", us=(us, us, us))  # type: ignore[arg-type]
        for number, (kind, unit, us) in enumerate(rows)
    )
    whole_us = sum(us for _, _, us in rows) if whole is None else whole
    launch = Launch(rows=made, whole_us=(whole_us,) * 3, profiled_us=(1.2, 1.2, 1.2), plain_us=(1.0, 1.0, 1.0))
    return finish(Found(tool="test", launches=(launch,) * launches), None)


@given(st.lists(st.tuples(st.sampled_from(UNITS), _TIMES), min_size=1, max_size=12), st.floats(1.0, 3.0))
def test_rows_add_up_to_the_whole(rows: list[tuple[str, float]], longer: float) -> None:
    total = sum(us for _, us in rows)
    found = _pass(*(("conv", unit, us) for unit, us in rows), whole=total * longer)
    assert sum(operator.median_us for operator in found.operators) == pytest.approx(total * longer, rel=1e-6)
    assert found.coverage == pytest.approx(1 / longer)
    assert sum(found.unit_share.values()) == pytest.approx(1.0)
    for unit in UNITS:
        expected = sum(us for where, us in rows if where == unit) / total
        assert found.unit_share.get(unit, 0.0) == pytest.approx(expected)
    remainders = [operator for operator in found.operators if is_remainder(operator)]
    assert len(remainders) <= 1
    assert any("account for" in remark for remark in found.remarks) == (found.coverage < 0.9)


def test_overhead_is_that_of_the_runs_between() -> None:
    assert _pass(("conv", "cpu", 10.0)).overhead == pytest.approx(0.2)


def test_intervals_need_five_processes() -> None:
    assert _pass(("conv", "cpu", 10.0), launches=4).operators[0].ci95_us is None
    assert _pass(("conv", "cpu", 10.0), launches=5).operators[0].ci95_us == (10.0, 10.0)


def test_a_pause_falls_on_the_operator_and_on_the_whole() -> None:
    """Every run is disturbed in another operator: the medians hide it, the coverage must not."""
    rows = [Row(name=str(i), type="a", unit="cpu", backend="b", us=tuple(90.0 if i == n else 10.0 for n in range(5)))
            for i in range(5)]  # fmt: skip
    found = finish(Found(tool="test", launches=(Launch(rows=tuple(rows), whole_us=(130.0,) * 5),)), None)
    assert found.coverage == pytest.approx(1.0)
    assert any("busy" in remark for remark in found.remarks)


def test_operators_that_another_process_ran_in_another_order_are_the_same() -> None:
    def row(name: str, us: float) -> Row:
        return Row(name=name, type="Add", unit="cpu", backend="b", us=(us,))

    first = Launch(rows=(row("a", 1.0), row("copy", 2.0), row("copy", 3.0)), whole_us=(6.0,))
    second = Launch(rows=(row("copy", 4.0), row("a", 3.0), row("copy", 5.0)), whole_us=(12.0,))
    table = combine([first, second])
    assert [(item.name, item.median_us) for item in table.operators] == [("a", 2.0), ("copy", 3.0), ("copy", 4.0)]


def test_processes_that_ran_other_operators_are_refused() -> None:
    first, second = (
        Launch(rows=(Row(name=name, type="a", unit="cpu", backend="b", us=(1.0,)),), whole_us=(1.0,)) for name in "xy"
    )
    with pytest.raises(TargetError, match="different operators"):
        finish(Found(tool="test", launches=(first, second)), None)
    with pytest.raises(TargetError, match="no whole run"):
        finish(Found(tool="test", launches=()), None)


@pytest.mark.parametrize(
    ("us", "flops", "moved", "dtype", "bound", "share"),
    [
        (100.0, 8_000_000, 10_000, "float32", "compute", 0.8),  # 80 µs at 100 GFLOP/s
        (100.0, 10_000, 500_000, "float32", "memory", 0.5),  # 50 µs at 10 GB/s
        (100.0, 8_000_000, 10_000, "int8", "compute", 0.2),
        (1000.0, 1000, 1000, "float32", "overhead", 0.0001),
        (100.0, 0, 500_000, "", "memory", 0.5),  # a copy computes nothing
        (100.0, None, 500_000, "float32", "unknown", None),
        (100.0, 1000, None, "float32", "unknown", None),
        (100.0, 1000, 1000, "float16", "unknown", None),  # its peak was not measured
        (0.0, 1000, 1000, "float32", "unknown", None),
    ],
)
def test_the_nearer_roof_names_the_bound(
    us: float, flops: int | None, moved: int | None, dtype: str, bound: str, share: float | None
) -> None:
    found, reached = roof(us, flops, moved, dtype, PEAKS)
    assert found == bound
    assert reached == (None if share is None else pytest.approx(share, rel=1e-3))


@given(_TIMES, st.integers(0, 10**9), st.integers(0, 10**9))
def test_overhead_begins_where_the_roofs_allow_little(us: float, flops: int, moved: int) -> None:
    bound, share = roof(us, flops, moved, "float32", PEAKS)
    assert share is not None
    assert (bound == "overhead") == (share < OVERHEAD_BELOW)


def test_only_the_processor_whose_peaks_are_known_is_judged() -> None:
    rows = tuple(
        Row(name=unit, type="conv", unit=unit, backend="b", us=(100.0,), flops=8_000_000, bytes=10, dtype="float32")
        for unit in ("cpu", "npu")
    )  # fmt: skip
    launch = Launch(rows=rows, whole_us=(200.0,))
    cpu, npu = finish(Found(tool="test", launches=(launch,)), PEAKS).operators
    assert (cpu.bound, npu.bound) == ("compute", "unknown")
    estimated = finish(Found(tool="test", launches=(launch,), estimated=True), PEAKS)
    assert estimated.peaks is None
    assert estimated.runs == 0


def test_a_requirement_is_judged_by_time() -> None:
    found = _pass(("conv", "npu", 90.0), ("softmax", "cpu", 10.0), whole=120.0)
    assert unmet(found, parse_unit("npu=90")) == ""
    text = unmet(found, parse_unit("npu=95"))
    assert "npu runs 90.00 %" in text
    assert "1 × softmax on cpu" in text
    assert "unattributed" not in text


def test_a_plain_unit_allows_no_operator_elsewhere() -> None:
    assert unmet(_pass(("conv", "npu", 90.0), whole=120.0), parse_unit("npu")) == ""
    assert "elsewhere" in unmet(_pass(("conv", "npu", 90.0), ("cast", "cpu", 0.0)), parse_unit("npu"))
    assert "elsewhere" in unmet(_pass(("conv", "unknown", 90.0)), parse_unit("npu=1"))


@pytest.mark.parametrize("text", ["", "npu=", "npu=101", "tpu", "npu=x"])
def test_what_is_no_requirement(text: str) -> None:
    with pytest.raises(UsageError):
        parse_unit(text)


def test_the_trace_has_the_documented_fields(tmp_path: Path) -> None:
    found = _pass(("conv", "npu", 90.0), ("softmax", "cpu", 10.0), whole=120.0)
    path = tmp_path / "operators.trace.json"
    write_trace(path, {"one": found, "two": found})
    read = json.loads(path.read_bytes())
    events = read["traceEvents"]
    complete = [event for event in events if event["ph"] == "X"]
    assert len(complete) == 2 * len(found.operators)
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    for event in complete:
        assert isinstance(event["ts"], float)
        assert event["dur"] >= 0
        assert (event["pid"], event["tid"]) in named
    assert {event["args"]["name"] for event in events if event["name"] == "process_name"} == {"one", "two"}


@given(st.lists(st.tuples(st.sampled_from(UNITS), _TIMES), min_size=1, max_size=8))
def test_events_of_a_trace_do_not_overlap(rows: list[tuple[str, float]]) -> None:
    events = trace({"a": _pass(*(("conv", unit, us) for unit, us in rows))})["traceEvents"]
    spans = [(event["ts"], event["ts"] + event["dur"]) for event in events if event["ph"] == "X"]
    assert all(after[0] >= before[1] - 0.002 for before, after in itertools.pairwise(spans))


def test_the_native_runners_peaks() -> None:
    line = '{"k":"peaks","flops":{"float32":1e11,"int8":0},"bytes_per_s":1e10,"how":"2 threads"}'
    found = read_peaks(["noise", line])
    assert found.flops_per_s == {"float32": 1e11}
    assert found.bytes_per_s == 1e10


@given(st.lists(st.text(max_size=40) | st.sampled_from(['{"k":"peaks"}', '{"k":"peaks","flops":3,"bytes_per_s":1}'])))
def test_noise_is_no_peak(lines: list[str]) -> None:
    with pytest.raises(TargetError):
        read_peaks(lines)


def test_a_pass_survives_json() -> None:
    found = _pass(("conv", "npu", 90.0), whole=120.0)
    assert msgspec.json.decode(msgspec.json.encode(found), type=OperatorPass) == found
