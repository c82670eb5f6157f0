"""Launches are interleaved, and what was measured is kept whatever happens to the device."""

from __future__ import annotations

import json

import msgspec
import pytest

from edge.artifact import Artifact, FileEntry, Manifest, Needs, Source
from edge.contract import TensorSpec
from edge.errors import Refused
from edge.profile.devices import Bundle, Ended, EnergyCounter
from edge.profile.gate import PATIENCE_S
from edge.profile.passes import measure_energy, measure_memory, measure_sustained
from edge.profile.protocol import Settings, Subject, measure_latency, opened, result, variant_names
from edge.profile.records import DeviceRecord, DeviceState, Profile
from edge.profile.runners import Prepared, Runner

EVENTS = [
    {"k": "start", "runtime": "scripted", "version": "1", "threads": 3},
    {"k": "load", "ns": 5_000_000, "cold": True},
    {"k": "first", "ns": 3_000_000},
    {"k": "steady", "value": True},
    *({"k": "run", "t": index * 10_000_000, "ns": 2_000_000 + index} for index in range(30)),
    {"k": "load", "ns": 1_000_000, "cold": False},
    {"k": "memory", "before": 1000, "peak": 5000, "pss": None},
    {"k": "end"},
]
OUTPUT = "\n".join(json.dumps(event) for event in EVENTS)


class Scripted:
    """A device that answers what a test tells it to: the nth command gets the nth answer, then the last one."""

    kind, id, prefix = "scripted", "scripted:1", ()

    def __init__(self, *answers, emulated=False, joules=()):
        self.answers = list(answers) or [Ended(code=0, output=OUTPUT, errors="")]
        self.commands, self.bundles, self.closed = [], [], False
        self.emulated, self.joules = emulated, list(joules)

    def probe(self):
        return DeviceRecord(id=self.id, name="Scripted", machine="aarch64", cores=8, emulated=self.emulated)

    def state(self, at_s):
        return DeviceState(at_s=at_s, thermal="none", khz=(1_800_000, 2_400_000))

    def energy(self):
        return EnergyCounter(self.joules.pop(0), "a script") if self.joules else "it has no counter"

    def put(self, bundle: Bundle):
        self.bundles.append(bundle)
        return f"/bundles/{len(self.bundles)}"

    def run(self, command, timeout_s):
        self.commands.append(command)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def close(self):
        self.closed = True


def prepare(artifact, device, record, wish):
    return Prepared(bundle=Bundle(), argv=("./bench", artifact.root.name), runtime="scripted")


@pytest.fixture(autouse=True)
def scripted_runner(monkeypatch):
    found = Runner(
        name="scripted", harness="native", devices=("scripted",), families=("litert",), rank=0, prepare=prepare
    )
    monkeypatch.setattr("edge.profile.runners.RUNNERS._entries", {"scripted": found})
    monkeypatch.setattr("edge.profile.runners.RUNNERS._discovered", True)


def subject(folder, precision="fp32", target="litert-cpu"):
    root = folder / f"{target}@{precision}"
    root.mkdir(exist_ok=True)
    files = (FileEntry(name="m", bytes=1, sha256="a"),)
    manifest = Manifest(
        model="toy", task="tensors", target=target, precision=precision, files=files,
        inputs=(TensorSpec(name="x", shape=(1, 2)),), outputs=(), steps=(), source=Source(sha256="b"),
        needs=Needs(min_runtime="1"),
    )  # fmt: skip
    path = folder / "x.bin"
    path.write_bytes(bytes(8))
    return Subject(artifact=Artifact(root, manifest), inputs=(path,))


def measure(device, subjects, **options):
    lines = []
    with opened(device, subjects, Settings(**options), lines.append) as session:
        measure_latency(session)
        found = result(session)
    return found, lines


def test_launches_of_all_artifacts_are_interleaved(tmp_path):
    device = Scripted()
    found, _ = measure(device, [subject(tmp_path, "fp32"), subject(tmp_path, "int8")], launches=8)
    names = [command.argv[1] for command in device.commands]
    assert all(set(names[i : i + 2]) == {"litert-cpu@fp32", "litert-cpu@int8"} for i in range(0, 16, 2))
    assert len({tuple(names[i : i + 2]) for i in range(0, 16, 2)}) == 2  # not always in the same order
    orders = [launch.order for variant in found.variants for launch in variant.launches]
    assert sorted(orders) == list(range(16))
    assert device.closed


def test_a_variant_holds_its_launches_and_their_estimate(tmp_path):
    found, _ = measure(Scripted(), [subject(tmp_path)], launches=5)
    [variant] = found.variants
    assert (variant.name, variant.runtime, variant.threads, variant.harness) == (
        "litert-cpu@fp32",
        "scripted 1",
        3,
        "native",
    )
    estimate = variant.estimate
    assert (estimate.launches, estimate.runs) == (5, 150)
    assert estimate.median_ms == pytest.approx(2.0, abs=1e-3)
    assert (estimate.first_ms, estimate.cold_load_ms, estimate.warm_load_ms) == (3.0, 5.0, 1.0)
    assert estimate.modes[0].khz == 2_400_000
    assert found.thermal_gate == "passed"
    assert msgspec.json.decode(msgspec.json.encode(found), type=Profile) == found


def test_threads_on_a_device_are_at_most_four(tmp_path):
    device = Scripted()
    measure(device, [subject(tmp_path)], launches=1)
    argv = device.commands[0].argv
    assert argv[argv.index("--threads") + 1] == "4"
    assert argv[-2:] == ("--input", "input0.bin")
    assert device.bundles[0].files[0].name == "input0.bin"


def test_a_device_that_vanishes_keeps_what_was_measured(tmp_path):
    whole = Ended(code=0, output=OUTPUT, errors="")
    cut = Ended(code=None, output=OUTPUT[:700], errors="", problem="the device is gone", lost=True)
    device = Scripted(*[whole] * 12, cut)
    found, _ = measure(device, [subject(tmp_path, "fp32"), subject(tmp_path, "int8")], launches=10)
    assert found.problem == "the device is gone"
    assert len(device.commands) == 13
    assert sum(len(variant.launches) for variant in found.variants) == 13
    assert all(variant.estimate is not None for variant in found.variants)
    broken = [launch for variant in found.variants for launch in variant.launches if launch.problem]
    assert [launch.problem for launch in broken] == ["the device is gone"]
    assert 0 < len(broken[0].runs_ns) < 30
    assert device.closed


def test_an_artifact_that_fails_leaves_the_others(tmp_path):
    class OneFails(Scripted):
        def run(self, command, timeout_s):
            super().run(command, timeout_s)
            if "int8" in command.argv[1]:
                return Ended(code=1, output='{"k":"error","type":"TargetError","message":"damaged"}', errors="")
            return Ended(code=0, output=OUTPUT, errors="")

    device = OneFails()
    found, _ = measure(device, [subject(tmp_path, "fp32"), subject(tmp_path, "int8")], launches=5)
    good, bad = found.variants
    assert (good.problem, good.estimate.launches) == ("", 5)
    assert (bad.problem, bad.estimate, len(bad.launches)) == ("damaged", None, 1)
    assert found.ratios[0].verdict == "unknown"


def test_equal_artifacts_are_indistinguishable_and_emulated_ones_not_compared(tmp_path):
    pair = [subject(tmp_path, "fp32"), subject(tmp_path, "int8")]
    found, _ = measure(Scripted(), pair, launches=5)
    assert (found.ratios[0].verdict, found.ratios[0].ratio) == ("indistinguishable", 1.0)
    found, lines = measure(Scripted(emulated=True), pair, launches=5)
    assert found.ratios[0].verdict == "unknown"
    assert "emulated" in found.ratios[0].reason
    assert all(variant.emulated for variant in found.variants)
    assert "EMULATED" in lines[0]


def test_what_no_runner_takes_is_refused_with_what_there_is(tmp_path):
    device = Scripted()
    with pytest.raises(Refused, match=r"coreml cannot be measured on scripted:1; there is: native for litert"):
        measure(device, [subject(tmp_path, target="coreml")])
    assert device.closed


def test_variants_are_named_apart(tmp_path):
    first, second = subject(tmp_path).artifact, subject(tmp_path, "int8").artifact
    other = Artifact(tmp_path / "other", msgspec.structs.replace(first.manifest, model="twin"))
    assert variant_names([first, second]) == ["litert-cpu@fp32", "litert-cpu@int8"]
    assert variant_names([first, other]) == ["toy litert-cpu@fp32", "twin litert-cpu@fp32"]
    assert variant_names([first, first]) == [str(first.root)] * 2


def test_memory_a_long_load_and_energy_are_passes_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("edge.profile.passes.time.sleep", lambda seconds: None)
    clock = iter([0.0, 30.0, 90.0])
    device = Scripted(joules=[10.0, 40.0, 280.0])
    with opened(device, [subject(tmp_path)], Settings(), lambda line: None) as session:
        measure_memory(session)
        measure_sustained(session, 90.0)
        monkeypatch.setattr("edge.profile.passes.time.monotonic", lambda: next(clock, 90.0))
        measure_energy(session)
        [variant] = result(session).variants
    assert "--memory" in device.commands[0].argv
    assert (variant.memory.peak_bytes, variant.memory.pss_bytes) == (5000, None)
    assert device.commands[1].argv[-4:-2] == ("--seconds", "90")
    assert len(variant.sustained.windows) == 1
    assert variant.sustained.windows[0].state.khz == (1_800_000, 2_400_000)
    assert len(variant.sustained.launch.starts_ns) == 30
    assert (variant.energy.idle_watts, variant.energy.busy_watts) == (1.0, 4.0)
    assert variant.energy.millijoules == pytest.approx(3.0 * 60 / 30 * 1e3)


def test_a_device_without_a_counter_says_so(tmp_path):
    with opened(Scripted(), [subject(tmp_path)], Settings(), lambda line: None) as session:
        measure_energy(session)
        [variant] = result(session).variants
    assert (variant.energy, variant.energy_reason) == (None, "it has no counter")


def test_the_protocol_is_what_was_asked_for():
    assert Settings().launches == 10
    assert Settings().gate_patience_s == PATIENCE_S
    assert Settings(threads=2).flags() == (
        "--threads", "2", "--warmup-runs", "50", "--warmup-seconds", "5", "--min-runs", "30", "--min-seconds", "1",
    )  # fmt: skip
