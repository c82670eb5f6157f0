"""`edge profile` on this machine: real artifacts, real runtimes, real processes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import msgspec
import psutil
import pytest
import torch

import edge
from edge.artifact import read_manifest
from edge.contract import Contract, TensorSpec
from edge.profile.devices import Bundle, BundleFile, Command, open_device
from edge.profile.devices.host import Host
from edge.profile.inputs import read_inputs, write_random
from edge.profile.latency import measure_host
from edge.profile.records import Profile

pytestmark = pytest.mark.slow
TARGETS = ("executorch-xnnpack", "litert-cpu", "onnx-cpu")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """One small network for three runtimes."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(16, 32, 3, stride=2), torch.nn.ReLU(),
        torch.nn.Conv2d(32, 8, 1),
    )  # fmt: skip
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 3, 96, 96), layout="NCHW"),))
    out = tmp_path_factory.mktemp("deployed")
    report = edge.deploy(module, contract, targets=TARGETS, out=out, launches=0, progress=lambda line: None)
    assert [row.status for row in report.targets] == ["ok"] * 3, [row.reason for row in report.targets]
    return [out / f"{target}@fp32" for target in TARGETS]


def run(*words, **options):
    command = [sys.executable, "-m", "edge.cli", "profile", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def test_three_runtimes_are_profiled_in_one_call(artifacts, tmp_path):
    done = run(*artifacts, "--launches", 5, "--threads", 1, "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout, type=Profile)
    assert found == msgspec.json.decode((tmp_path / "profile.json").read_bytes(), type=Profile)
    assert [variant.name for variant in found.variants] == [f"{target}@fp32" for target in TARGETS]
    for variant in found.variants:
        estimate = variant.estimate
        low, high = estimate.ci95_ms
        assert estimate.min_ms <= low <= estimate.median_ms <= high
        assert estimate.median_ms <= estimate.p90_ms <= estimate.p99_ms
        assert estimate.cold_load_ms > 0
        assert estimate.warm_load_ms > 0
        assert estimate.first_ms > 0
        assert all(len(launch.runs_ns) >= 30 and sum(launch.runs_ns) > 0.9e9 for launch in variant.launches)
        assert variant.memory.peak_bytes > variant.memory.before_load_bytes > 0
        assert (variant.harness, variant.emulated, variant.threads, variant.inputs) == ("python", False, 1, "random")
        assert variant.runtime.split()[0] in ("executorch", "ai-edge-litert", "onnxruntime")
        assert variant.operators is not None or variant.operators_reason
    assert {ratio.reference for ratio in found.ratios} == {"executorch-xnnpack@fp32"}
    page = (tmp_path / "profile.html").read_text()
    assert "litert-cpu@fp32" in page
    events = json.loads((tmp_path / "trace.json").read_bytes())
    assert events["traceEvents"]


def test_a_budget_that_is_not_met_ends_with_4(artifacts, tmp_path):
    done = run(artifacts[2], "--launches", 5, "--out", tmp_path, "--no-memory", "--no-operators",
               "--budget", "median<=0.001ms", "--budget", "p99<=10s")  # fmt: skip
    assert done.returncode == 4
    assert done.stderr.count("MISSED") == 1
    assert done.stderr.count("met    ") == 1


def test_a_unit_that_is_required_and_absent_ends_with_4(artifacts, tmp_path):
    done = run(artifacts[2], "--launches", 1, "--out", tmp_path, "--no-memory", "--require-unit", "npu")
    assert done.returncode == 4
    assert "npu" in done.stderr


# A process that a shell started in the background ignores interrupts, and so do its children.
INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from edge.cli import main; main()"
)


def test_an_interrupted_profile_keeps_what_it_measured(artifacts, tmp_path):
    words = ["profile", str(artifacts[2]), "--launches", "200", "--out", str(tmp_path)]
    command = [sys.executable, "-c", INTERRUPTIBLE, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            next(line for line in process.stderr if line.startswith("launches 2 of"))
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    found = msgspec.json.decode((tmp_path / "profile.json").read_bytes(), type=Profile)
    assert found.problem == "interrupted"
    assert 2 <= len(found.variants[0].launches) < 200


def test_a_sustained_load_is_cut_into_windows(artifacts, tmp_path, monkeypatch):
    done = run(
        artifacts[2], "--launches", 1, "--out", tmp_path, "--no-memory", "--no-operators", "--sustain", "3s", "--json"
    )
    assert done.returncode == 0, done.stderr
    [variant] = msgspec.json.decode(done.stdout, type=Profile).variants
    assert variant.sustained.seconds >= 2.9
    assert variant.sustained.windows[0].runs == len(variant.sustained.launch.runs_ns)
    assert variant.sustained.windows[0].state is not None


def test_a_deploys_latency_is_a_short_profile(artifacts):
    found = measure_host(artifacts[2], launches=2)
    assert found.launches == len(found.launch_medians_ms) == 2
    assert found.ci95_ms[0] <= found.median_ms <= found.ci95_ms[1]


def test_a_changed_file_is_not_measured(artifacts, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(artifacts[2], copy)
    (copy / "model.onnx").write_bytes((copy / "model.onnx").read_bytes() + b"\0")
    done = run(copy, "--out", tmp_path / "o")
    assert done.returncode == 2
    assert "changed after it was made" in done.stderr


def test_inputs_are_written_and_read_back(artifacts, tmp_path):
    artifact = read_manifest(artifacts[1])
    files = write_random(artifact, tmp_path)
    [(name, values)] = read_inputs(artifact, list(files)).items()
    assert (name, values.shape) == (artifact.manifest.inputs[0].name, artifact.manifest.inputs[0].shape)
    assert 0 <= values.min() < 0.01
    assert 0.99 < values.max() <= 1


def test_the_host_ends_what_runs_too_long_with_its_children(tmp_path):
    host = Host(())
    script = f"{sys.executable} -c 'import time; time.sleep(60)' & echo $! > {tmp_path}/pid; echo begun; wait"
    ended = host.run(Command(argv=("sh", "-c", script), folder=str(tmp_path)), 1.0)
    assert (ended.code, ended.output) == (None, "begun\n")
    assert "ran past its 1 s" in ended.problem
    child = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 5.0
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "the child is still running"
        time.sleep(0.1)
    host.close()


def test_the_host_puts_files_side_by_side(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    host = open_device("host", ("env",))
    folder = host.put(Bundle(files=(BundleFile(name="b.txt", path=tmp_path / "a.txt"),)))
    ended = host.run(Command(argv=("cat", "b.txt"), folder=folder), 10.0)
    assert (ended.code, ended.output) == (0, "hello")
    host.get(f"{folder}/b.txt", tmp_path / "back.txt")
    assert (tmp_path / "back.txt").read_text() == "hello"
    host.close()
