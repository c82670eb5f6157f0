"""report.json and report.html: complete, closed, and readable without anything else."""

import json

import jsonschema
import msgspec
import numpy as np
import pytest

from edge.artifact import OutputParity, Parity, Source, TaskParity, encode_json
from edge.cli.deploy import exit_code
from edge.cli.table import print_reports, print_sensitivity
from edge.errors import InputError
from edge.evaluation import Evaluation
from edge.images import write_image
from edge.profile.latency import Latency
from edge.profile.statistics import bootstrap_interval
from edge.report.html import write_html, write_sensitivity
from edge.report.plot import HEIGHT, WIDTH, plot
from edge.report.records import CandidateReport, Report, TargetReport, environment, read_report, report_schema
from edge.report.sensitivity import SENSITIVITY, Damage, LayerSensitivity, Sensitivity, read_sensitivity

OUTPUT = OutputParity(name="y", max_abs=1e-6, psnr_db=100.0, cosine=1.0, scale=1.0, limit=1e-3)
PASSED = Parity(
    passed=True, mode="native", inputs="real: 3", outputs=(OUTPUT,), task=TaskParity(metric="IoU", value=1.0, limit=0.9)
)
DIFFERS = Parity(passed=False, mode="native", inputs="real: 3", outputs=(OUTPUT,), reason="output y: too far")
UNVERIFIED = Parity(passed=False, mode="unverified", inputs="real: 3", reason="no scatter here")
LATENCY = Latency(
    device="d",
    median_ms=2.0,
    ci95_ms=(1.9, 2.1),
    launches=3,
    emulated=False,
    threads=2,
    launch_medians_ms=(1.9, 2, 2.1),
)


def row(status="ok", parity=PASSED, **changes):
    return TargetReport(id="onnx-cpu", precision="fp32", status=status, parity=parity, **changes)


def make(folder, *rows):
    report = Report(
        model="m <b>", task="tensors", source=Source(sha256="0" * 64), environment=environment(), targets=rows,
        inputs="real: 3", preview="preview.png",
    )  # fmt: skip
    write_image(folder / "preview.png", np.full((8, 8, 3), 200, np.uint8))
    (folder / "report.json").write_bytes(encode_json(report))
    return report


def test_a_report_is_read_back_and_fits_its_schema(tmp_path):
    report = make(tmp_path, row(latency=LATENCY), row("failed", None, reason="it\ncrashed"))
    assert read_report(tmp_path) == report
    jsonschema.validate(json.loads((tmp_path / "report.json").read_text()), report_schema())


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(tmp_path):
    make(tmp_path, row(latency=LATENCY), row(parity=UNVERIFIED), row("refused", None, reason="<script>"))
    text = write_html([tmp_path, tmp_path], tmp_path).read_text()
    assert "http" not in text.replace("http-equiv", "")
    assert "m &lt;b&gt;" in text
    assert "<script>" not in text
    for word in (
        "passed",
        "unverified",
        "refused",
        "2.00 ms [1.90, 2.10]",
        "data:image/jpeg;base64,",
        "3 real pictures",
    ):
        assert word in text


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": 1, "extra": 1}'])
def test_a_broken_report_is_one_clear_error(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match="deploy again"):
        read_report(tmp_path)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([row()], 0),
        ([row(), row(parity=UNVERIFIED)], 0),
        ([row(), row("refused", None)], 2),
        ([row("needs-sdk", None), row("refused", None)], 3),
        ([row(parity=DIFFERS), row("needs-sdk", None)], 4),
        ([row(parity=DIFFERS), row("failed", None)], 1),
    ],
)
def test_exit_codes(tmp_path, rows, code):
    assert exit_code(make(tmp_path, *rows)) == code


def test_the_interval_holds_the_median_and_repeats():
    values = [1.0, 1.1, 0.9, 1.05, 5.0]
    low, high = bootstrap_interval(values)
    assert low <= np.median(values) <= high
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval([2.0]) == (2.0, 2.0)


EVALUATION = Evaluation(
    data="65 photographs", count=61, metric="OKS", value=0.9912, ci95=(0.985, 0.995), worst=0.9
)  # fmt: skip


def damage(ratio, drop=0.01):
    return Damage(sqnr_db={"y": ratio, "z": ratio + 20}, drop=drop)


def sensitivity(mode="one", count=30, drop=0.01):
    layers = tuple(
        LayerSensitivity(
            rank=i + 1, depth=count - 1 - i, name=f"conv<{i}>", op="aten.conv2d", operators=(f"conv<{i}>",),
            both=damage(10 + 2 * i, drop), weights=damage(12 + 2 * i, drop) if i % 2 else None,
            activation=damage(11 + 2 * i, drop),
        )
        for i in range(count)
    )  # fmt: skip
    return Sensitivity(
        model="m <b>", program="0", family="onnx-cpu", data="photographs", count=12, scored=0 if drop is None else 11,
        mode=mode, metric="OKS", observer="min-max", whole=damage(8.0, drop), layers=layers,
    )  # fmt: skip


def auto(met=True):
    candidates = (
        CandidateReport(precision="fp32", status="ok", bytes=4000, evaluation=EVALUATION, latency=LATENCY),
        CandidateReport(precision="int8", status="refused", reason="no pictures", verdict="int8 was not built."),
        CandidateReport(precision="mixed", status="ok", bytes=2000, evaluation=EVALUATION, kept=3, layers=40),
    )
    return row(
        chosen="mixed", budget_met=met, evaluation=EVALUATION, candidates=candidates,
        explanation=("int8 loses 3.00 % <too much>.", "mixed is chosen."),
    )  # fmt: skip


def test_auto_shows_what_was_chosen_why_and_what_else_there_was(tmp_path):
    make(tmp_path, msgspec.structs.replace(auto(), precision="auto"))
    jsonschema.validate(json.loads((tmp_path / "report.json").read_text()), report_schema())
    page = write_html([tmp_path], tmp_path).read_text()
    assert "auto → mixed" in page
    assert "within the budget" in page
    assert "int8 loses 3.00 % &lt;too much&gt;." in page
    assert "3 of 40" in page
    assert "OKS 0.9912 [0.9850, 0.9950] on 61" in page
    assert "65 photographs" in page


def test_a_budget_that_is_not_met_ends_with_4(tmp_path):
    assert exit_code(make(tmp_path, auto(met=False))) == 4
    assert "budget not met" in write_html([tmp_path], tmp_path).read_text()
    assert exit_code(make(tmp_path, auto(met=True))) == 0


def test_the_table_has_evaluations_and_explanations(tmp_path, capsys):
    print_reports([make(tmp_path, auto())])
    shown = capsys.readouterr().out
    assert "OKS 0.9912 [0.9850, 0.9950] on 61" in shown
    assert "mixed is chosen." in shown


@pytest.mark.parametrize("mode", ["one", "leave-one-out"])
@pytest.mark.parametrize("drop", [0.01, None])
def test_sensitivity_is_drawn_by_depth_and_by_rank(tmp_path, capsys, mode, drop):
    found = sensitivity(mode, drop=drop)
    (tmp_path / "sensitivity-onnx-cpu.json").write_bytes(encode_json(found))
    assert read_sensitivity(tmp_path / "sensitivity-onnx-cpu.json") == found
    page = write_sensitivity(found, tmp_path).read_text()
    assert page.count("<circle") == 30
    assert page.count('<rect class="result"') == 25
    assert "conv&lt;0&gt;" in page
    assert "conv<0>" not in page
    assert "http" not in page.replace("http-equiv", "")
    report = msgspec.structs.replace(make(tmp_path, row()), sensitivity=("sensitivity-onnx-cpu.json",))
    (tmp_path / "report.json").write_bytes(encode_json(report))
    assert write_html([tmp_path], tmp_path).read_text().count("<circle") == 30
    print_sensitivity(found)
    assert "Everything rounded: 8.0 dB" in " ".join(capsys.readouterr().out.split())


def test_shapes_stay_in_the_plot_and_worse_lies_higher():
    for mode, better in (("one", 1), ("leave-one-out", -1)):
        drawn = plot(sensitivity(mode))
        assert all(0 <= dot.x <= WIDTH and 0 <= dot.y <= HEIGHT for dot in drawn.dots)
        assert (drawn.dots[0].y < drawn.dots[-1].y) == (better == 1)
        assert all(0 <= bar.result <= WIDTH for bar in drawn.bars)
    assert plot(sensitivity(count=0)).dots == ()


def test_a_sensitivity_that_is_none_is_said(tmp_path):
    with pytest.raises(InputError, match="make one with `edge sensitivity"):
        read_sensitivity(tmp_path)
    (tmp_path / SENSITIVITY).write_text("{}")
    with pytest.raises(InputError, match="make it again"):
        read_sensitivity(tmp_path)
