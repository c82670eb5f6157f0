"""Model cards: what they count, what they take from reports, and that those in docs/models say what is so."""

import json
import re
from pathlib import Path

import msgspec
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from convert.export import export
from convert.facts import count_macs, count_parameters
from convert.load import load
from convert.program import Model
from convert.targets import TARGETS
from edge.artifact import OutputParity, Parity, Source, TaskParity
from edge.cli.card import card_command, ready_targets
from edge.contract import Contract, TensorSpec
from edge.errors import InputError, UnknownName, UsageError
from edge.profile.latency import Latency
from edge.report.card import Card, CardTarget, amount, render
from edge.report.records import REPORT, Environment, Report, TargetReport
from edge.zoo import MODELS, device_models

CARDS = Path(__file__).parents[2] / "docs" / "models"
PUBLISHED = {  # 10⁶ multiply-accumulates and parameters, counted elsewhere from the published files and papers
    "blazepose-detector": (430, 2.94),
    "blazepose-lite": (198, 1.35),
    "blazepose-full": (386, 3.15),
    "blazepose-heavy": (1927, 13.67),
    "selfie-segmentation": (58.2, 0.106),
    "selfie-segmentation-landscape": (32.7, 0.106),
    "pr-vipe": (4.26, 4.26),
}
TORCHVISION = {"lraspp-mobilenet-v3-large": 2.086e9, "deeplabv3-mobilenet-v3-large": 10.452e9}  # its cards, at 520²


def a_report(model="selfie-segmentation", **changes):
    parity = Parity(
        passed=True, mode="native", inputs="real: 3",
        outputs=(OutputParity(name="mask", max_abs=2e-6, psnr_db=110, cosine=1, scale=1, limit=1e-3),),
        task=TaskParity(metric="mean IoU", value=0.99994, limit=0.98),
    )  # fmt: skip
    timing = Latency(
        device="a machine", median_ms=3.25, ci95_ms=(3.0, 3.5), launches=5, emulated=False, threads=2,
        launch_medians_ms=(3.2,),
    )  # fmt: skip
    rows = (
        TargetReport(id="litert-cpu", precision="fp32", status="ok", bytes=431_000, parity=parity, latency=timing),
        TargetReport(id="coreml", precision="fp16", status="failed", reason="no"),
    )
    fields = {
        "model": model,
        "task": "segmentation",
        "source": Source(sha256="", origin="mediapipe 0.10.21"),
        "environment": Environment(
            date="2026-11-22T10:00:00+00:00", device="a machine", system="Linux 6", python="3.11", packages={}
        ),
        "targets": rows,
        "inputs": "real: 3",
    }  # fmt: skip
    return Report(**(fields | changes))


def a_card(name="selfie-segmentation", **changes):
    targets = (CardTarget(name="litert-cpu", unit="cpu", precisions=("fp32", "int8")),)
    return Card(**({"model": MODELS[name], "parameters": 106_401, "macs": 59_215_744, "targets": targets,
                   "contract": MODELS[name].contract} | changes))  # fmt: skip


def test_a_network_is_counted():
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ConvTranspose2d(8, 2, 2, stride=2), nn.Flatten(), nn.Linear(2 * 16 * 20, 5),
    ).eval()  # fmt: skip
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 3, 8, 10), layout="NCHW"),))
    program = export(Model("net", layers, contract, Source(sha256="")))
    assert count_macs(program) == 80 * (27 * 8 + 9 * 8 + 8 * 2 * 4) + 640 * 5
    assert count_parameters(layers) == (27 * 8 + 8) + 16 + (72 + 8) + (64 + 2) + (3200 + 5)


@pytest.mark.parametrize(("macs", "text"), [(7, "7 MACs"), (4_253_696, "4.254 MMACs"), (1_927_318_656, "1.927 GMACs")])
def test_amounts(macs, text):
    assert amount(macs) == text


def test_a_card_without_reports_says_so():
    text = render(a_card())
    assert "Nothing has been measured" in text
    assert "`edge card selfie-segmentation --report OUT`" in text
    assert "ms" not in text.split("## Measured")[1]
    assert "| parameters | 106,401 |" in text
    assert "59.22 MMACs" in text
    assert "| `image` | 1 × 3 × 256 × 256 | float32 | NCHW |" in text
    assert "real: `selfie_segmentation.tflite`" in text
    assert "stretched to 256 × 256 pixels, RGB, values 0 to 1." in text
    assert "threshold 0.5" in text
    assert "| `litert-cpu` | cpu | fp32, int8 |" in text


def test_a_card_shows_what_a_report_holds():
    text = render(a_card(reports=(a_report(),), picture="selfie-segmentation.jpg"))
    assert "3.25 ms [3.00, 3.50], a machine" in text
    assert "mean IoU 0.9999" in text
    assert "431 kB" in text
    assert "| `coreml` | fp16 | failed | – | – | – | – | not timed |" in text
    assert "2026-11-22, a machine, Linux; weights: mediapipe 0.10.21; compared" in text
    assert "](selfie-segmentation.jpg)" in text
    assert "\\" not in text
    assert "\n\n\n" not in text


def test_reports_of_one_machine_day_and_weights_share_a_table():
    again = a_report(targets=(TargetReport(id="onnx-cpu", precision="fp16", status="failed", reason="no"),))
    other = a_report(environment=msgspec.structs.replace(a_report().environment, device="another machine"))
    text = render(a_card(reports=(a_report(), again, other))).split("## Measured")[1]
    assert text.count("| target | precision |") == 2
    assert text.index("`onnx-cpu`") < text.index("another machine")


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_has_a_card_to_be_written(name):
    text = render(a_card(name, parameters=1, macs=1))
    assert text.startswith(f"# {name}\n")
    assert MODELS[name].weight_status in ("real", "yours", "trained here")
    assert f"| weights | {MODELS[name].weight_status}: " in text
    assert text.endswith("\n")
    for line in re.findall(r"^\|.*", text, flags=re.MULTILINE):
        assert line.rstrip().endswith("|"), line


def test_notes_are_shown():
    assert "## Data and limits" in render(a_card("pr-vipe"))


def test_the_command_writes_a_card(tmp_path):
    report = tmp_path / "deployed"
    report.mkdir()
    (report / REPORT).write_bytes(msgspec.json.encode(a_report("pr-vipe")))
    arguments = ["pr-vipe", "--out", str(tmp_path / "cards"), "--report", str(report), "--json"]
    done = CliRunner().invoke(card_command, arguments, standalone_mode=False, catch_exceptions=False)
    (row,) = json.loads(done.stdout)
    assert row["parameters"] == 4_269_090
    assert row["macs"] == 4_253_696
    assert row["weight_status"] == "yours"
    assert row["picture"] == ""  # random weights draw nothing
    assert "3.25 ms" in Path(row["card"]).read_text()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["no-such"], UnknownName),
        (["pr-vipe", "--report", "."], InputError),
        (["pr-vipe", "--report", "deployed"], UsageError),
    ],
)
def test_what_the_command_refuses(tmp_path, monkeypatch, arguments, error):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deployed").mkdir()
    (tmp_path / "deployed" / REPORT).write_bytes(msgspec.json.encode(a_report()))
    with pytest.raises(error):
        CliRunner().invoke(card_command, [*arguments, "--out", "cards"], standalone_mode=False, catch_exceptions=False)


def test_ready_targets_are_families():
    names = [target.family for target in ready_targets()]
    assert len(names) == len(set(names))
    assert {"litert-cpu", "onnx-cpu", "executorch-xnnpack", "coreml"} <= set(names)


def test_mediapipe_is_named_only_where_it_obeys_the_contract():
    takes = TARGETS["mediapipe-task"].takes
    assert takes(MODELS["blazepose-lite"].contract)
    assert takes(MODELS["selfie-segmentation"].contract)
    assert not takes(MODELS["pose-student"].contract)  # its outputs are not PoseLandmarker's
    assert not takes(MODELS["titok-tiny"].contract)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.full if n == "blazepose-heavy" else pytest.mark.slow) for n in PUBLISHED],
)
def test_counts_are_the_published_ones(name):
    model = load(name, random_weights=MODELS[name].weight_status == "yours")
    macs, parameters = PUBLISHED[name]
    assert count_macs(export(model)) / 1e6 == pytest.approx(macs, rel=0.03)
    assert count_parameters(model.module) / 1e6 == pytest.approx(parameters, rel=0.03)


@pytest.mark.parametrize("name", sorted(TORCHVISION))
def test_counts_of_torchvisions_networks(name):
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        MODELS[name].network().eval()(torch.zeros(1, 3, 520, 520))
    assert counter.get_total_flops() / 2 == pytest.approx(TORCHVISION[name], rel=0.03)


@pytest.mark.parametrize("path", sorted(CARDS.glob("*.md")), ids=lambda path: path.stem)
def test_a_committed_card_is_of_a_model_and_says_what_the_registry_says(path):
    text, entry = path.read_text(), MODELS[path.stem]
    fresh = render(a_card(path.stem, parameters=1, macs=1))
    for section in ("## Input", *(() if entry.learnt else ("## Output",))):  # whose settings come with the weights
        assert fresh.split(section)[1].split("\n## ")[0] == text.split(section)[1].split("\n## ")[0], "run `edge card`"
    assert f"| weights | {entry.weight_status}: " in text
    assert f"| licence | {entry.licence} |" in text
    for picture in re.findall(r"\]\(([^)]+\.jpg)\)", text):
        assert 0 < (path.parent / picture).stat().st_size < 100_000
    if path.stem in PUBLISHED:
        macs = re.search(r"\| multiply-accumulates \| ([\d.]+) ([GMk])MACs", text)
        found = float(macs[1]) * {"G": 1e3, "M": 1, "k": 1e-3}[macs[2]]
        assert found == pytest.approx(PUBLISHED[path.stem][0], rel=0.03)


def test_there_are_cards_of_device_models():
    written = {path.stem for path in CARDS.glob("*.md")}
    assert written - {"README"} <= set(MODELS)
    assert len(written & set(device_models())) >= 9
