"""`auto` and `mixed` on a target of the test's own that rounds for real: what is built, chosen, kept and said."""

import importlib
import uuid

import numpy as np
import pytest
import torch
from torch import nn

import edge
import edge.building
from edge.artifact import Needs, Step
from edge.cli.deploy import deploy_command, exit_code
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import EdgeError, UsageError
from edge.images import read_image, write_image
from edge.profile.latency import Latency
from edge.report.records import read_report
from edge.report.sensitivity import read_sensitivity

pytestmark = pytest.mark.slow
SIZE = 64
CONTRACT = Contract(
    task="segmentation",
    inputs=(TensorSpec(name="image", shape=(1, 3, SIZE, SIZE), layout="NCHW"),),
    outputs=(TensorSpec(name="mask", shape=(1, 1, SIZE, SIZE), layout="NCHW"),),
    preprocess=Preprocess(size=(SIZE, SIZE)),
    postprocess=Postprocess(decoder="probability"),
    labels=("background", "bright"),
)


class Net(nn.Module):
    """Segment what is bright; with `fragile`, one layer's scale is spoilt by weights that nothing uses."""

    def __init__(self, fragile):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 9, padding=4)
        self.second = nn.Conv2d(8, 8, 1)
        self.third = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 1, 1)
        with torch.no_grad():
            self.first.weight.abs_()  # smooths: few pixels lie near the threshold
            self.last.bias.zero_()
            if fragile:
                self.second.weight[0], self.second.bias[0] = 0.0, -3.0  # relu makes it 0
                self.third.weight[:, 0] = 3000.0

    def forward(self, image):
        a = torch.relu(self.second(torch.relu(self.first(image - 0.5))))
        b = self.last(nn.functional.hardswish(self.third(a)))
        return torch.sigmoid(8 * (b - b.mean((1, 2, 3), keepdim=True)))


def compile_simulated(program, precision, folder):
    """Keep the simulated program in this process; the artifact is its key."""
    from convert.targets import Compiled
    from quant.simulate import FLOAT, Simulator, quantized

    module = program.exported.module(check_guards=False)
    if precision in ("fp32", "fp16"):
        simulator = Simulator(module, [tuple(torch.zeros(spec.shape) for spec in program.contract.inputs)])
        assignment = FLOAT
    else:
        simulator = Simulator(module, program.calibration_tensors())
        kept = {x.name for x in simulator.layers if set(x.members) & set(program.recipe.kept)}
        assert bool(kept) == (precision == "mixed")
        assignment = quantized(simulator.layers, bits=16 if precision == "w8a16" else 8, kept=kept)
    key = uuid.uuid4().hex
    PROGRAMS[key] = (simulator, assignment, program.contract)
    (folder / "model.sim").write_text(key + "0" * {"fp32": 4000, "fp16": 2000}.get(precision, 1000))
    step = Step(tool="simulation", version="1", options={"precision": precision})
    contract = program.contract
    return Compiled(inputs=contract.inputs, outputs=contract.outputs, steps=(step,), needs=Needs(min_runtime="none"))


PROGRAMS = {}


class SimulatedSession:
    mode = "native"

    def __init__(self, artifact):
        self.simulator, self.assignment, self.contract = PROGRAMS[artifact.file(".sim").read_text()[:32]]

    def run(self, inputs):
        given = tuple(torch.from_numpy(np.ascontiguousarray(inputs[spec.name])) for spec in self.contract.inputs)
        outputs = self.simulator.outputs(self.simulator.values(given, self.assignment))
        return {spec.name: tensor.numpy() for spec, tensor in zip(self.contract.outputs, outputs, strict=True)}


def run_here(job):
    module, function = job.function.split(":")
    return getattr(importlib.import_module(module), function)(dict(job.payload))


def measure_here(job):
    from edge.jobs import Usage

    run_here(job)
    return Usage(0.0, 0)


@pytest.fixture
def simulated(monkeypatch, tmp_path, photos):
    """A target `simulated-cpu`, a runtime for it, jobs in this process, and photographs that are at hand."""
    from convert.targets import TARGETS, Target
    from edge.runtimes import RUNTIMES, Runtime
    from edge.samples import PhotoSet

    target = Target(
        id="simulated-cpu", runtime="simulated", summary="", precisions=("fp32", "int8", "mixed", "w8a16"), packages=(),
        extra="", execution="native", compile=compile_simulated,
    )  # fmt: skip
    TARGETS._discover()
    RUNTIMES._discover()
    monkeypatch.setitem(TARGETS._entries, target.id, target)
    monkeypatch.setitem(RUNTIMES._entries, "simulated", Runtime(SimulatedSession))
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))
    for name in ("convert.build", "convert.evaluate", "convert.expect", "convert.sensitivity", "convert.plan"):
        monkeypatch.setattr(importlib.import_module(name), "run_job", run_here)
    monkeypatch.setattr("convert.build.measure_job", measure_here)
    cuts = []
    for index, picture in enumerate((photos[0], photos[2]) * 4):
        path = tmp_path / f"cut{index}.png"
        write_image(path, np.ascontiguousarray(read_image(picture)[index * 10 :: 2, index * 10 :: 2]))
        cuts.append(path)
    chosen = PhotoSet("cuts", tuple(cuts[:4]), tuple(cuts[4:]))
    for module in ("edge.pipeline", "edge.pictures"):
        monkeypatch.setattr(f"{module}.photographs", lambda: chosen)
    monkeypatch.setattr("edge.pictures.sample_photos", lambda: photos[:1])

    def timed(precision_ms):
        def measure(artifact, *, launches):
            from edge.artifact import read_manifest

            ms = precision_ms[read_manifest(artifact).manifest.precision]
            return Latency(device="d", median_ms=ms, ci95_ms=(ms, ms), launches=launches, emulated=False, threads=1,
                           launch_medians_ms=(ms,))  # fmt: skip

        monkeypatch.setattr(edge.building, "measure_host", measure)

    timed({"fp32": 10.0, "int8": 4.0, "mixed": 5.0, "w8a16": 6.0})
    return timed


def deploy(out, fragile=True, precisions=("auto",), **options):
    lines = []
    report = edge.deploy(
        Net(fragile).eval(), CONTRACT, out=out, targets=["simulated-cpu"], precisions=precisions, launches=1,
        progress=lines.append, **options,
    )  # fmt: skip
    return report, lines


def test_int8_that_is_good_enough_is_chosen(simulated, tmp_path):
    report, _ = deploy(tmp_path / "o", fragile=False, max_drop=0.05)
    (row,) = report.targets
    assert (row.precision, row.chosen, row.budget_met, row.status) == ("auto", "int8", True, "ok"), row.explanation
    assert [item.precision for item in row.candidates] == ["fp32", "int8"]
    assert row.evaluation.count == 4
    assert row.evaluation.data == "cuts"
    manifest = (tmp_path / "o" / "simulated-cpu@auto" / "manifest.json").read_text()
    assert '"precision": "int8"' in manifest
    assert exit_code(report) == 0
    assert read_report(tmp_path / "o") == report


def test_a_fragile_layer_is_kept_and_the_rest_is_int8(simulated, tmp_path):
    report, lines = deploy(tmp_path / "o", max_drop=0.05)
    (row,) = report.targets
    assert row.chosen == "mixed", row.explanation
    assert row.budget_met
    int8, mixed = row.candidates[1], row.candidates[2]
    assert int8.evaluation.value < 0.95 <= mixed.evaluation.value
    assert 1 <= mixed.kept < mixed.layers
    assert any(
        "is chosen: at 5.00 ms on this host it is the fastest within the budget" in text for text in row.explanation
    )
    (name,) = report.sensitivity
    found = read_sensitivity(tmp_path / "o" / name)
    assert found.layers[0].name == "conv2d_2"
    assert found.scored == found.count == 4
    page = (tmp_path / "o" / "report.html").read_text()
    assert "within the budget" in page
    assert "conv2d_2" in page
    again, lines = deploy(tmp_path / "p", max_drop=0.05)
    assert [item.precision for item in again.targets[0].candidates] == [item.precision for item in row.candidates]
    assert not any(line.startswith("build ") for line in lines)
    assert not any(line.startswith("simulate") for line in lines)


def test_a_float_that_is_faster_is_chosen_and_named(simulated, tmp_path):
    simulated({"fp32": 3.0, "int8": 4.0, "mixed": 4.0, "w8a16": 4.0})
    report, _ = deploy(tmp_path / "o", max_drop=0.05)
    (row,) = report.targets
    assert row.chosen == "fp32", row.explanation
    assert any("fp32 is both faster (3.00 ms against 4.00 ms) and better than int8" in text for text in row.explanation)
    assert len(row.candidates) == 2


def test_an_unreachable_budget_keeps_the_best_and_ends_with_4(simulated, tmp_path):
    report, _ = deploy(tmp_path / "o", fragile=False, max_drop=0.05, max_latency_ms=1.0)
    (row,) = report.targets
    assert row.budget_met is False
    assert (row.status, row.folder) == ("ok", "simulated-cpu@auto")
    assert any(
        text.startswith("Nothing meets the budget;") and "over the 1 ms allowed" in text for text in row.explanation
    )
    assert exit_code(report) == 4


def test_mixed_by_itself_says_what_it_keeps(simulated, tmp_path):
    report, lines = deploy(tmp_path / "o", precisions=("int8", "mixed"), max_drop=0.05, evaluate=True)
    int8, mixed = report.targets
    assert (int8.status, mixed.status) == ("ok", "ok"), lines
    assert "layers are kept from 8 bits: the fewest" in mixed.explanation[0]
    assert int8.evaluation is not None, lines
    assert int8.evaluation.value < mixed.evaluation.value
    assert mixed.evaluation.value > 0.95


def test_what_no_target_can_plan_is_refused_in_its_row(simulated, tmp_path, monkeypatch):
    def nothing(*arguments):
        raise EdgeError("the simulation broke")

    monkeypatch.setattr("edge.planned.measure_in_child", nothing)
    report, _ = deploy(tmp_path / "o", precisions=("mixed", "auto"), max_drop=0.05)
    mixed, auto = report.targets
    assert (mixed.status, mixed.reason) == ("failed", "the simulation broke")
    assert auto.chosen in ("w8a16", "fp32")
    assert any("mixed was not built: failed, the simulation broke" in text for text in auto.explanation)


OWN = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    first = nn.Conv2d(3, 8, 9, padding=4)
    first.weight.data.abs_()
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(8, 1, 1), nn.InstanceNorm2d(1), nn.Sigmoid())
"""


@pytest.mark.full
def test_auto_on_the_command_line_with_a_real_runtime(tmp_path, photos, edge):
    import msgspec

    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "contract.json").write_bytes(msgspec.json.encode(CONTRACT))
    (tmp_path / "pictures").mkdir()
    for index in range(3):
        cut = read_image(photos[index])[20 * index :: 2, ::2]
        write_image(tmp_path / "pictures" / f"{index}.png", np.ascontiguousarray(cut))
    done = edge(
        "deploy", "own.py:build", "--contract", "contract.json", "--data", photos[0], "--evaluation", "pictures",
        "--target", "onnx-cpu", "--precision", "auto", "--max-drop", "2%", "--launches", 2, "--out", "o", "--json",
    )  # fmt: skip
    assert done.stdout, done.stderr
    (row,) = done.report["targets"]
    assert done.code == (0 if row["budget_met"] else 4), done.stderr
    assert (row["status"], row["precision"]) == ("ok", "auto")
    assert row["chosen"] in {item["precision"] for item in row["candidates"] if item["status"] == "ok"}
    assert row["evaluation"]["data"] == "pictures"
    assert row["evaluation"]["count"] == 3
    assert row["evaluation"]["value"] > 0.98
    assert row["explanation"][-1].endswith(".")
    assert (tmp_path / "o" / "onnx-cpu@auto" / "manifest.json").is_file()


@pytest.mark.parametrize(
    "options", [("--max-drop", "much"), ("--max-drop", "150%"), ("--max-latency", "soon"), ("--max-latency", "0ms")]
)
def test_a_budget_that_is_none_is_refused_at_once(tmp_path, options):
    arguments = ["selfie-segmentation", "--target", "onnx-cpu", "--precision", "auto", "--out", str(tmp_path / "o")]
    with pytest.raises(UsageError, match="expected"):
        deploy_command.main([*arguments, *options], standalone_mode=False)
    assert not (tmp_path / "o").exists()
