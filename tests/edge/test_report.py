"""report.json and report.html: complete, closed, and readable without anything else."""

import json

import jsonschema
import numpy as np
import pytest

from edge.artifact import OutputParity, Parity, Source, TaskParity, encode_json
from edge.cli.deploy import exit_code
from edge.errors import InputError
from edge.images import write_image
from edge.profile.protocol import Latency, bootstrap_interval
from edge.report.html import write_html
from edge.report.records import Report, TargetReport, environment, read_report, report_schema

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
