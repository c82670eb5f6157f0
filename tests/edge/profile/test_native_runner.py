"""ExecuTorch's runner in C++: real programs on this machine and on 64-bit Arm under emulation."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from launching import SHORT, events_of, kinds, laid_out, launch, made, program

from edge.artifact import Artifact
from edge.contract import TensorSpec
from edge.errors import MissingError, Refused
from edge.profile.native import build
from edge.profile.records import DeviceRecord
from edge.profile.runners import Prepared, Wish
from edge.profile.runners.native import prepare_native


def executed(test):
    """Mark a test that executes real programs."""
    for mark in _MARKS:
        test = mark(test)
    return test


_MARKS = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of ExecuTorch and torchao
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
IMAGE = TensorSpec(name="image", shape=(1, 3, 16, 16), layout="NCHW")
WHOLE = ["start", "load", "first", "warm", "steady", "run", "load", "end"]
EMULATOR, CROSS = "qemu-aarch64-static", "aarch64-linux-gnu-g++"


def prepared(artifact: Artifact, kind: str = "host", machine: str = "x86_64") -> Prepared:
    device = SimpleNamespace(id=kind, kind=kind, prefix=())
    record = DeviceRecord(id=kind, name=kind, machine=machine, cores=2)
    return prepare_native(artifact, device, record, Wish(threads=1))


def machine_here() -> str:
    import platform

    return build.known_machine(platform.machine())


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    content = program(module, torch.zeros(1, 3, 16, 16))
    return made(tmp_path_factory.mktemp("tiny") / "a", "executorch-xnnpack", "model.pte", content, IMAGE)


@pytest.fixture(scope="session")
def here(tiny: Artifact, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, Path]:
    """Return the tiny program made ready for this machine, and the folder of its bundle."""
    found = prepared(tiny, machine=machine_here())
    return found, laid_out(found.bundle, tmp_path_factory.mktemp("here") / "bundle")


@executed
class TestHere:
    def test_a_launch_prints_every_run(self, here) -> None:
        code, events, errors = launch(*here, *SHORT)
        assert code == 0, errors
        assert kinds(events) == WHOLE
        start = events[0]
        assert (start["runtime"], start["threads"], start["schema"]) == ("executorch", 1, 1)
        assert f"executorch {start['version']}" == here[0].runtime
        loads = [event for event in events if event["k"] == "load"]
        assert [load["cold"] for load in loads] == [True, False]
        runs = [event for event in events if event["k"] == "run"]
        assert len(runs) >= 12
        begins = [run["t"] for run in runs]
        assert begins == sorted(begins)
        assert all(run["ns"] > 0 for run in runs)
        warm = [event for event in events if event["k"] == "warm"]
        steady = next(event["value"] for event in events if event["k"] == "steady")
        assert steady or len(warm) == 25 or warm[-1]["t"] > 0.4e9
        if steady:
            first, second = (np.median([one["ns"] for one in ten]) for ten in (warm[-20:-10], warm[-10:]))
            assert abs(first - second) <= 0.02 * min(first, second)

    def test_a_sustained_launch_lasts_and_loads_once(self, here) -> None:
        code, events, _ = launch(*here, *SHORT, "--seconds", "0.3")
        assert code == 0
        assert kinds(events) == ["start", "load", "first", "warm", "steady", "run", "end"]
        last = [event for event in events if event["k"] == "run"][-1]
        assert last["t"] + last["ns"] >= 0.3e9

    def test_memory(self, here) -> None:
        code, events, _ = launch(*here, *SHORT, "--memory")
        assert code == 0
        memory = next(event for event in events if event["k"] == "memory")
        assert 1 << 20 < memory["before"] < memory["peak"]
        assert memory["pss"] is None or 0 < memory["pss"] <= memory["peak"]

    def test_inputs_are_read_and_their_size_is_checked(self, here) -> None:
        folder = here[1]
        (folder / "right.bin").write_bytes(np.ones(IMAGE.shape, np.float32).tobytes())
        (folder / "wrong.bin").write_bytes(b"\0" * 7)
        assert launch(*here, *SHORT, "--input", "right.bin")[0] == 0
        for names, said in (
            (("wrong.bin",), "wrong.bin holds 7 bytes; input 0 takes 3072"),
            (("none.bin",), "none.bin cannot be read"),
            (("right.bin", "right.bin"), "2 inputs; model.pte takes 1"),
        ):
            flags = [word for name in names for word in ("--input", name)]
            code, events, _ = launch(*here, *SHORT, *flags)
            assert code == 2
            assert events[-1]["k"] == "error"
            assert events[-1]["type"] == "InputError"
            assert said in events[-1]["message"]

    @pytest.mark.parametrize("keep", [0, 7, 200, -100], ids=str)
    def test_a_damaged_program_is_an_error_and_no_crash(self, here, keep: int, tmp_path: Path) -> None:
        ready, folder = here
        content = (folder / "model.pte").read_bytes()
        (tmp_path / "damaged.pte").write_bytes(content[:keep])
        words = [str(folder / ready.argv[0]), str(tmp_path / "damaged.pte"), *SHORT]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1
        *_, last = events_of(done.stdout)
        assert (last["k"], last["type"]) == ("error", "TargetError")
        assert "edge deploy" in last["message"]

    @pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
    def test_what_a_killed_launch_printed_stays(self, here, ended_by: signal.Signals) -> None:
        ready, folder = here
        process = subprocess.Popen(
            [*ready.argv, *SHORT, "--seconds", "120"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        first = b"".join(process.stdout.readline() for _ in range(100))  # the runs have begun
        process.send_signal(ended_by)
        rest = process.stdout.read()
        process.stdout.close()
        assert process.wait(20) == (-9 if ended_by == signal.SIGKILL else 128 + 15)
        whole, _, _ = (first + rest).rpartition(b"\n")  # a kill may fall into a line
        events = events_of(whole.decode())
        assert kinds(events)[-1] == "run"
        assert len(events) >= 100

    def test_the_operators_profile_is_read_by_the_inspector(self, here) -> None:
        from executorch.devtools import Inspector

        code, events, _ = launch(*here, *SHORT, "--trace", "trace.etdump")
        assert code == 0
        assert kinds(events) == WHOLE
        runs = sum(event["k"] == "run" for event in events)
        table = Inspector(etdump_path=str(here[1] / "trace.etdump")).to_dataframe()
        whole = table[table["event_name"] == "Method::execute"]
        assert [len(raw) for raw in whole["raw"]] == [runs]
        assert any(table["is_delegated_op"])  # XNNPACK's operators, and not only the call of the delegate

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((), "no model"),
            (("model.pte", "--runs", "3"), "unknown flag --runs"),
            (("model.pte", "--threads"), "--threads needs a value"),
            (("model.pte", "--threads", "0"), "--threads is"),
            (("model.pte", "--min-runs", "2.5"), "whole number"),
            (("model.pte", "--seconds", "nan"), "--seconds is"),
            (("a.pte", "b.pte"), "second model"),
        ],
    )
    def test_wrong_words_are_named(self, here, words: tuple[str, ...], said: str) -> None:
        done = subprocess.run(
            ["./edge-bench", *words], cwd=here[1], capture_output=True, text=True, check=False, timeout=60
        )
        (event,) = events_of(done.stdout)
        assert done.returncode == 2
        assert event["type"] == "UsageError"
        assert said in event["message"]

    def test_peaks(self, here) -> None:
        done = subprocess.run(
            ["./edge-bench", "--peaks", "--threads", "1"], cwd=here[1], capture_output=True, text=True, check=True
        )
        (event,) = events_of(done.stdout)
        assert event["k"] == "peaks"
        assert event["flops"]["float32"] > 1e8
        assert event["bytes_per_s"] > 1e8
        assert event["how"].startswith("1 thread, ")


class Kinds(torch.nn.Module):
    """Inputs of many types."""

    def forward(self, whole, small, flag, half, double):
        return whole + small.to(torch.int64) + flag.to(torch.int64), half.to(torch.float32) + double.to(torch.float32)


@executed
def test_inputs_of_every_type(tmp_path: Path) -> None:
    types = (torch.int64, torch.int8, torch.bool, torch.float16, torch.float64)
    content = program(Kinds(), *(torch.zeros(5, dtype=dtype) for dtype in types))
    ready = prepared(made(tmp_path / "a", "executorch-xnnpack", "model.pte", content), machine=machine_here())
    folder = laid_out(ready.bundle, tmp_path / "bundle")
    code, events, errors = launch(ready, folder, *SHORT)
    assert code == 0, errors
    assert kinds(events) == WHOLE
    sizes = (40, 5, 5, 10, 40)
    for index, size in enumerate(sizes):
        (folder / f"{index}.bin").write_bytes(bytes(size))
    flags = [word for index in range(len(sizes)) for word in ("--input", f"{index}.bin")]
    assert launch(ready, folder, *SHORT, *flags)[0] == 0


@pytest.fixture(scope="session")
def ternary(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from quant.kernels.torch_operators import packed_tensor
    from quant.ternary import TernaryTensor

    random = np.random.default_rng(0)
    weight = TernaryTensor(random.integers(-1, 2, (8, 16), np.int8), random.uniform(0.1, 1, 8).astype(np.float32))

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", packed_tensor(weight, "t5"))

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return torch.ops.edge.ternary_linear(values, self.weight, None, 8)

    content = program(Layer(), torch.zeros(2, 16))
    return made(tmp_path_factory.mktemp("ternary") / "a", "executorch-ternary", "model.pte", content)


@executed
def test_ternary_operators_are_in_it(ternary: Artifact, tmp_path: Path) -> None:
    ready = prepared(ternary, machine=machine_here())
    code, events, errors = launch(ready, laid_out(ready.bundle, tmp_path / "bundle"), *SHORT)
    assert code == 0, errors
    assert kinds(events) == WHOLE


@executed
@pytest.mark.parametrize("kind", ["ssh", "adb"])
def test_an_aarch64_bundle_runs_under_emulation(kind: str, tiny, ternary, tmp_path: Path) -> None:
    for tool in (CROSS, EMULATOR):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: apt-get install g++-aarch64-linux-gnu qemu-user-static)")
    # A phone's bundle brings its C library; a board has its own, which the emulator is shown.
    prefix = (EMULATOR, "-cpu", "max", *(("-L", "/usr/aarch64-linux-gnu") if kind == "ssh" else ()))
    for index, artifact in enumerate((tiny, ternary)):
        ready = prepared(artifact, kind, "aarch64")
        assert bool(ready.remarks) == (kind == "adb")
        folder = laid_out(ready.bundle, tmp_path / f"bundle{index}")
        code, events, errors = launch(ready, folder, *SHORT, "--memory", prefix=prefix)
        assert code == 0, errors
        assert kinds(events) == [*WHOLE[:6], "memory", *WHOLE[6:]]


def test_other_backends_and_processors_are_refused(tmp_path: Path) -> None:
    other = made(tmp_path / "a", "executorch-qnn:SM8650", "model.pte", b"")
    with pytest.raises(Refused, match="executorch-qnn:SM8650; it runs executorch-xnnpack and executorch-ternary"):
        prepared(other)
    known = made(tmp_path / "b", "executorch-xnnpack", "model.pte", b"")
    with pytest.raises(Refused, match="'armv7l'"):
        prepared(known, machine="armv7l")


def test_a_missing_compiler_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "_is_here", lambda machine: False)
    monkeypatch.setattr(build, "_root", lambda machine: tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingError, match=r"apt-get install g\+\+-aarch64-linux-gnu"):
        build.edge_bench("aarch64")


def test_sources_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(build.HERE, tmp_path / "native")
    before = build._digest()
    monkeypatch.setattr(build, "HERE", tmp_path / "native")
    assert build._digest() == before
    with (tmp_path / "native" / "events.cpp").open("a") as stream:
        stream.write(f"// {time.time()}\n")
    assert build._digest() != before
