"""What `edge compare` calls changed, moved and worse, on reports, artifacts and delegation reports made by hand."""

import json

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.artifact import FileEntry, Manifest, Needs, Parity, Source, TaskParity, encode_json
from edge.cli import cli
from edge.compare import Snapshot, compare, compare_rows
from edge.delegation import DelegationReport, Operator, summarize
from edge.errors import InputError, UsageError
from edge.profile.latency import Latency
from edge.report.records import Report, TargetReport, environment

FEW = settings(deadline=None, max_examples=60)  # the machine may be busy
CONV = Operator(name="conv2d", op="aten.conv2d", unit="npu", backend="Hexagon", macs=900)
HEAD = Operator(name="linear", op="aten.linear", unit="npu", backend="Hexagon", macs=100)
LEFT = Operator(
    name="linear", op="aten.linear", unit="cpu", backend="portable", macs=100, reason="too wide", hint="split it"
)
SIZE = 1000


def parity(value=1.0, passed=True, mode="emulated"):
    return Parity(
        passed=passed, mode=mode, inputs="real: 3", task=TaskParity(metric="mean IoU", value=value, limit=0.9)
    )


def row(operators=(CONV, HEAD), name="executorch-qnn:SM8650", **changes):
    fields = {
        "id": name,
        "precision": "int8",
        "status": "ok",
        "parity": parity(),
        "bytes": SIZE,
        "delegation": summarize(operators),
        "folder": f"{name.replace(':', '-')}@int8",
    }
    return TargetReport(**{**fields, **changes}), tuple(operators)


def write(folder, *rows):
    folder.mkdir()
    report = Report(
        model="m", task="segmentation", source=Source(sha256="0" * 64), environment=environment(),
        targets=tuple(found for found, _ in rows),
    )  # fmt: skip
    (folder / "report.json").write_bytes(encode_json(report))
    for found, operators in rows:
        if found.folder:
            (folder / found.folder).mkdir()
            delegation = DelegationReport(target=found.id, operators=operators)
            (folder / found.folder / "delegation.json").write_bytes(encode_json(delegation))
    return folder


def latency(median_ms):
    return Latency(
        device="d",
        median_ms=median_ms,
        ci95_ms=(median_ms, median_ms),
        launches=1,
        emulated=False,
        threads=1,
        launch_medians_ms=(median_ms,),
    )


def call(*arguments):
    return CliRunner().invoke(cli, ["compare", *map(str, arguments)], standalone_mode=False)


def test_equal_reports_have_no_change(tmp_path):
    before, after = write(tmp_path / "a", row()), write(tmp_path / "b", row())
    done = call(before, after)
    assert (done.return_value, done.output) == (
        0,
        "executorch-qnn:SM8650@int8: nothing changed\nnothing got worse\n",
    )


def test_an_operator_that_fell_off_the_npu_is_named_with_its_reason(tmp_path):
    before, after = write(tmp_path / "a", row()), write(tmp_path / "b", row((CONV, LEFT)))
    found = compare(before, after)
    (only,) = found.rows
    (move,) = only.moved
    assert (move.name, move.unit.before, move.unit.after) == ("linear", "npu", "cpu")
    assert (move.reason, move.hint, move.macs) == ("too wide", "split it", 100)
    assert only.worse == ("the NPU's share fell from 100 % to 90 %",)
    done = call(before, after)
    assert done.return_value == 4
    assert "npu → cpu  aten.linear linear, 100 MACs: too wide (split it)" in done.output
    assert "npu       100.00 → 90.00 % of the multiply-accumulates, 2 → 1 operators" in done.output
    better = call(after, before)
    assert better.return_value == 0
    assert "cpu → npu  aten.linear linear, 100 MACs: too wide (split it)" in better.output


@pytest.mark.parametrize(
    ("changes", "worse"),
    [
        ({"parity": parity(0.95)}, None),
        ({"parity": parity(0.5, passed=False)}, "parity passed and is differs"),
        ({"parity": parity(passed=False, mode="unverified")}, "parity passed and is unverified"),
        ({"status": "failed", "reason": "crash", "folder": "", "parity": None}, "it was ok and is failed"),
        ({"status": "needs-sdk", "folder": "", "delegation": None, "parity": None}, "it was ok and is needs-sdk"),
        ({"bytes": 3000}, None),
        ({"latency": latency(9.0)}, None),
    ],
)
def test_what_counts_as_worse(tmp_path, changes, worse):
    before, after = write(tmp_path / "a", row(latency=latency(3.0))), write(tmp_path / "b", row(**changes))
    done = call(before, after, "--json")
    answer = json.loads(done.stdout)
    assert answer["worse"] is bool(worse)
    assert done.return_value == (4 if worse else 0)
    if worse:
        assert worse in answer["rows"][0]["worse"]
    assert call(after, before).return_value == 0


def test_a_target_that_is_gone_is_worse_and_a_new_one_is_not(tmp_path):
    both = write(tmp_path / "a", row(), row(name="onnx-cpu"))
    one = write(tmp_path / "b", row(name="onnx-cpu"))
    assert "it was ok and is gone" in call(both, one).output
    assert call(both, one).return_value == 4
    done = call(one, both)
    assert done.return_value == 0
    assert "status    – → ok" in done.output


def test_from_the_npu_to_the_gpu_is_worse_and_back_is_not():
    def side(*units):
        operators = [Operator(name=str(i), op="o", unit=unit, backend="b", macs=1) for i, unit in enumerate(units)]
        return Snapshot(target="t", delegation=summarize(operators), operators=tuple(operators))

    assert compare_rows(side("npu", "gpu"), side("gpu", "gpu")).worse
    assert compare_rows(side("cpu", "gpu"), side("cpu", "cpu")).worse == ("the GPU's share fell from 50 % to 0 %",)
    assert not compare_rows(side("gpu", "gpu"), side("npu", "gpu")).worse
    assert not compare_rows(side("npu", "cpu"), side("npu", "gpu")).worse


def test_two_artifacts_are_compared_whatever_they_are_for(tmp_path):
    for name, target, size in (("a", "executorch-qnn:SM8650", 1000), ("b", "onnx-qnn:SM8650", 1500)):
        folder = tmp_path / name
        folder.mkdir()
        manifest = Manifest(
            model="m", task="segmentation", target=target, precision="int8", inputs=(), outputs=(), steps=(),
            files=(FileEntry(name="model.bin", bytes=size, sha256="0" * 64),), source=Source(sha256=""),
            needs=Needs(min_runtime="x"), parity=parity(), delegation=summarize((CONV, HEAD)),
        )  # fmt: skip
        (folder / "manifest.json").write_bytes(encode_json(manifest))
    expected = "executorch-qnn:SM8650@int8 → onnx-qnn:SM8650@int8\n  size      1,000 → 1,500 bytes (+50.0 %)\n"
    assert call(tmp_path / "a", tmp_path / "b").output == expected + "nothing got worse\n"
    assert call(tmp_path / "a" / "manifest.json", tmp_path / "b").output == expected + "nothing got worse\n"


def test_two_delegation_reports(tmp_path):
    for name, operators in (("a.json", (CONV, HEAD)), ("b.json", (CONV, LEFT))):
        report = DelegationReport(target="executorch-qnn:SM8650", operators=operators)
        (tmp_path / name).write_bytes(encode_json(report))
    assert compare(tmp_path / "a.json", tmp_path / "b.json").worse
    assert not compare(tmp_path / "b.json", tmp_path / "a.json").worse


def test_two_kinds_and_unreadable_sides_are_one_clear_error(tmp_path):
    folder = write(tmp_path / "a", row())
    delegation = folder / "executorch-qnn-SM8650@int8" / "delegation.json"
    with pytest.raises(UsageError, match="a is a report, .* is a delegation report; compare two of a kind"):
        compare(folder, delegation)
    with pytest.raises(InputError, match=r"nowhere: no report.json, manifest.json or delegation.json to read"):
        compare(folder, tmp_path / "nowhere")
    for text, words in (("{", "is not JSON of the kit"), ("[]", "is not JSON of the kit"), ("{}", "is neither")):
        (tmp_path / "broken.json").write_text(text)
        with pytest.raises(InputError, match=words):
            compare(folder, tmp_path / "broken.json")


def operators_of(draw, names):
    unit = st.sampled_from(("npu", "gpu", "cpu"))
    return tuple(Operator(name=n, op="o", unit=draw(unit), backend="b", macs=draw(st.integers(0, 9))) for n in names)


@st.composite
def sides(draw):
    operators = operators_of(draw, draw(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True)))
    return Snapshot(
        target="t",
        status=draw(st.sampled_from(("ok", "failed"))),
        parity=draw(st.sampled_from((None, parity(), parity(0.5, passed=False)))),
        delegation=summarize(operators),
        operators=operators,
        size_bytes=draw(st.none() | st.integers(0, 10)),
    )


@FEW
@given(sides(), sides())
def test_nothing_is_worse_both_ways_for_the_same_reason_and_nothing_than_itself(one, other):
    assert compare_rows(one, one).worse == ()
    assert compare_rows(one, one).moved == ()
    there, back = compare_rows(one, other), compare_rows(other, one)
    assert not set(there.worse) & set(back.worse)
    assert [(move.name, move.unit.before) for move in there.moved] == sorted(
        ((move.name, move.unit.after) for move in back.moved),
        key=lambda pair: [operator.name for operator in other.operators].index(pair[0]),
    )
    assert (there.only_before, there.only_after) == (back.only_after, back.only_before)
    assert msgspec.json.decode(msgspec.json.encode(there))["build"] == {"before": "t", "after": "t"}
