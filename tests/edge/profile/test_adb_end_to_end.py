"""ExecuTorch's aarch64 bundle on a phone over adb: real client, program, libraries and model; the phone is a daemon.

qemu-user executes what a phone's processor would, so the times say nothing, and everything measured is marked emulated.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from adbd import Daemon, Phone
from torch import nn

from convert.compile import compile_program
from convert.export import export
from convert.program import Model
from edge.artifact import Source
from edge.contract import Contract, TensorSpec
from edge.profile.devices import Bundle, BundleFile, Command, Device, _adb_shell, open_device
from edge.profile.events import read_events
from edge.profile.inputs import write_random
from edge.profile.protocol import Settings, Subject
from edge.profile.records import Profile
from edge.profile.run import Passes, profile
from edge.profile.runners import Prepared, Wish, choose

pytest_plugins = ("adb_fixtures",)
pytestmark = [
    pytest.mark.slow,  # converts a model, compiles the runner, and executes both under qemu
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
QEMU = ("qemu-aarch64-static", "-cpu", "max")
SHORT = Settings(launches=2, min_runs=4, min_seconds=0.0, warmup_runs=2, warmup_seconds=1.0, threads=1, timeout_s=240.0)
FLAGS = (*SHORT.flags(), "--input", "input0.bin")


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Return a small network for ExecuTorch's XNNPACK backend, and an input."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),))
    model = Model("tiny", module, contract, Source(sha256="0" * 64))
    artifact = compile_program(export(model), "executorch-xnnpack", "fp32", tmp_path_factory.mktemp("tiny"))
    return Subject(artifact=artifact, inputs=write_random(artifact, tmp_path_factory.mktemp("inputs")))


@pytest.fixture
def emulated(plugged: Daemon, monkeypatch: pytest.MonkeyPatch) -> Device:
    """Open the phone with an emulated processor."""
    assert shutil.which(QEMU[0]), "this test needs qemu-aarch64-static: apt-get install qemu-user-static"
    monkeypatch.setattr(_adb_shell, "RETURN_S", 0.5)
    return open_device("adb", QEMU)


def placed(subject: Subject, device: Device) -> tuple[Prepared, str]:
    """Push the runner, its libraries, the model and its input; return the command's beginning and the folder."""
    record = device.probe()
    runner = choose(subject.artifact, device, None)
    assert (runner.name, record.machine, record.emulated) == ("executorch-native", "aarch64", True)
    prepared = runner.prepare(subject.artifact, device, record, Wish(threads=1))
    tensors = [BundleFile(name=f"input{index}.bin", path=path) for index, path in enumerate(subject.inputs)]
    return prepared, device.put(Bundle(files=(*prepared.bundle.files, *tensors)))


def measured(subject: Subject, device: Device, passes: Passes) -> Profile:
    """Take a whole profile, as `edge profile --device adb` does."""
    return profile([subject], device, SHORT, passes, lambda line: None)


def test_a_whole_profile_over_adb_is_marked_emulated(subject: Subject, emulated: Device, plugged: Daemon) -> None:
    found = measured(subject, emulated, Passes(operators=False, memory=True))
    variant = found.variants[0]
    assert (found.problem, variant.problem) == ("", "")
    assert (found.device.id, found.device.emulated, variant.emulated) == (f"adb:{plugged.serial}", True, True)
    assert (found.thermal_gate, variant.harness, found.protocol.prefix) == ("passed", "native", QEMU)
    assert variant.runtime.startswith("executorch ")
    assert [len(launch.runs_ns) for launch in variant.launches] == [4, 4]
    assert all(launch.cold_load_ns and launch.first_ns and launch.warm_load_ns for launch in variant.launches)
    states = [launch.state for launch in variant.launches]
    assert all(state is not None and state.celsius["VIRTUAL-SKIN"] == 31.5 for state in states)
    assert variant.memory is not None
    assert variant.memory.peak_bytes > variant.memory.before_load_bytes


def test_the_runtimes_trace_comes_back_whole(subject: Subject, emulated: Device, tmp_path: Path) -> None:
    prepared, folder = placed(subject, emulated)
    words = (*prepared.argv, *FLAGS, "--trace", "trace.etdp")
    ended = emulated.run(Command(argv=words, folder=folder, environment=prepared.environment), 240)
    printed = read_events(ended.output)
    assert (ended.code, ended.problem, printed.error, printed.ended) == (0, "", "", True), ended.errors
    assert len(printed.runs_ns) == 4
    emulated.get(f"{folder}/trace.etdp", tmp_path / "trace.etdp")

    from executorch.devtools import Inspector

    inspector = Inspector(etdump_path=str(tmp_path / "trace.etdp"))
    names = {event.name for block in inspector.event_blocks for event in block.events}
    assert "Method::execute" in names
    assert any("conv" in name.lower() for name in names)


def test_the_second_profile_pushes_nothing(subject: Subject, emulated: Device, phone: Phone) -> None:
    placed(subject, emulated)
    phone.opened.clear()
    placed(subject, emulated)
    assert not [service for service in phone.opened if service.startswith("sync:")]


def test_a_phone_that_vanishes_leaves_the_runs_it_printed(subject: Subject, emulated: Device, phone: Phone) -> None:
    prepared, folder = placed(subject, emulated)
    phone.faults.cut_after, phone.faults.stays_away = 20_000, True  # bytes: several flushes, hundreds of runs
    ended = emulated.run(Command(argv=(*prepared.argv, *FLAGS, "--seconds", "120"), folder=folder), 240)
    printed = read_events(ended.output)
    assert (ended.code, ended.lost, printed.ended) == (None, True, False)
    assert printed.cold_load_ns
    assert len(printed.runs_ns) > 10


def test_a_profile_whose_phone_vanishes_keeps_its_launches(subject: Subject, emulated: Device, phone: Phone) -> None:
    placed(subject, emulated)
    phone.faults.stays_away = True
    phone.faults.cut_on = "--memory"
    found = measured(subject, emulated, Passes(operators=False, memory=True))
    assert found.problem.startswith("the phone vanished: device")
    assert [len(launch.runs_ns) for launch in found.variants[0].launches] == [4, 4]
    assert found.variants[0].estimate is not None
