"""Launches on a board over a real ssh connection: LiteRT and ONNX Runtime in Python, ExecuTorch in C++."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from launching import SHORT, events_of, kinds, laid_out, made, program
from sshd import Server

from edge.artifact import Artifact
from edge.contract import TensorSpec
from edge.errors import MissingError, Refused
from edge.profile.devices import Bundle, BundleFile, Command, Device, Ended
from edge.profile.events import problem_of, read_events
from edge.profile.runners import Prepared, Wish, choose

pytest_plugins = ("ssh_fixtures",)
WHOLE = ["start", "load", "first", "warm", "steady", "run", "load", "end"]
IMAGE = TensorSpec(name="image", shape=(1, 3, 16, 16), layout="NCHW")
WISH = Wish(threads=1, python=sys.executable)
FILTERS = ("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")  # of the converters


@pytest.fixture(scope="module")
def onnx_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight"], ["made"])],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, IMAGE.shape)],
        [helper.make_tensor_value_info("made", TensorProto.FLOAT, (1, 4, 14, 14))],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder = tmp_path_factory.mktemp("onnx") / "a"
    return made(folder, "onnx-cpu", "model.onnx", model.SerializeToString(), IMAGE)


@pytest.fixture(scope="module")
def litert_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from convert.export import export
    from convert.program import Model
    from convert.targets import TARGETS
    from edge.artifact import Source
    from edge.contract import Contract

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    model = Model("tiny", module, Contract(inputs=(IMAGE,)), Source(sha256="0" * 64))
    folder = tmp_path_factory.mktemp("litert") / "a"
    folder.mkdir()
    compiled = TARGETS["litert-cpu"].compile(export(model), "fp32", folder)
    return made(folder, "litert-cpu", "model.tflite", (folder / "model.tflite").read_bytes(), *compiled.inputs)


@pytest.fixture(scope="module")
def executorch_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    content = program(torch.nn.Conv2d(3, 4, 3), torch.zeros(IMAGE.shape))
    return made(tmp_path_factory.mktemp("executorch") / "a", "executorch-xnnpack", "model.pte", content, IMAGE)


def ready(artifact: Artifact, board: Device) -> tuple[Prepared, str]:
    prepared = choose(artifact, board, None).prepare(artifact, board, board.probe(), WISH)
    return prepared, board.put(prepared.bundle)


def launched(prepared: Prepared, folder: str, board: Device, *flags: str, timeout_s: float = 120) -> Ended:
    words = (*prepared.argv, *SHORT, *flags)
    return board.run(Command(argv=words, folder=folder, environment=prepared.environment), timeout_s)


@pytest.mark.slow
@pytest.mark.filterwarnings(*FILTERS)
@pytest.mark.parametrize(("name", "harness"), [("executorch", "native"), ("litert", "python"), ("onnx", "python")])
def test_a_launch_from_end_to_end(name: str, harness: str, board: Device, request: pytest.FixtureRequest) -> None:
    artifact = request.getfixturevalue(f"{name}_artifact")
    assert choose(artifact, board, None).harness == harness
    prepared, folder = ready(artifact, board)
    (Path(folder) / "input0.bin").write_bytes(np.ones(IMAGE.shape, np.float32).tobytes())
    ended = launched(prepared, folder, board, "--memory", "--input", "input0.bin")
    printed = read_events(ended.output)
    assert problem_of(ended, printed) == ""
    assert kinds(events_of(ended.output)) == [*WHOLE[:6], "memory", *WHOLE[6:]]
    assert printed.runtime == prepared.runtime
    assert printed.threads == 1
    assert len(printed.runs_ns) >= 12
    assert printed.memory is not None
    ended = launched(prepared, folder, board, "--input", "runner.py" if harness == "python" else "model.pte")
    assert ended.code == 2
    assert read_events(ended.output).error_type == "InputError"


@pytest.mark.slow
@pytest.mark.filterwarnings(*FILTERS)
@pytest.mark.parametrize("name", ["executorch", "onnx"])
def test_a_connection_that_breaks_keeps_the_runs(
    name: str, board: Device, server: Server, request: pytest.FixtureRequest
) -> None:
    prepared, folder = ready(request.getfixturevalue(f"{name}_artifact"), board)
    timer = threading.Timer(4, server.cut)
    timer.start()
    ended = launched(prepared, folder, board, "--seconds", "100")
    timer.join()
    assert ended.lost
    printed = read_events(ended.output)
    assert len(printed.runs_ns) > 50
    assert not printed.ended


@pytest.fixture(scope="module")
def folder(onnx_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as on a board: the two programs and the model, and nothing of the kit."""
    from edge.profile.runners.board import _PROGRAM

    files = [BundleFile(name=path.name, path=path) for path in (_PROGRAM, _PROGRAM.with_name("loop.py"))]
    files.append(BundleFile(name="model.onnx", path=onnx_artifact.file(".onnx")))
    return laid_out(Bundle(files=tuple(files)), tmp_path_factory.mktemp("board") / "bundle")


def alone(folder: Path, *words: str) -> tuple[int, list[dict[str, object]]]:
    command = [sys.executable, "runner.py", *words, *SHORT]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, events_of(done.stdout)


ONNX = ("--runtime", "onnx", "--model", "model.onnx", "--tensor", "image:float32:1,3,16,16")


@pytest.mark.slow
def test_onnx_runtime_writes_its_own_profile(folder: Path) -> None:
    import json

    code, events = alone(folder, *ONNX, "--trace", "profile.json")
    assert code == 0
    assert kinds(events) == WHOLE
    operators = [event for event in json.loads((folder / "profile.json").read_text()) if event["cat"] == "Node"]
    assert "Conv" in {event["args"]["op_name"] for event in operators}
    assert not list(folder.glob("onnxruntime_profile*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "kind", "said"),
    [
        ((*ONNX[:2], "--model", "none.onnx", *ONNX[4:]), 1, "TargetError", "none.onnx"),
        (("--runtime", "litert", "--model", "model.onnx", *ONNX[4:]), 1, "TargetError", "not a LiteRT file"),
        (("--runtime", "litert", *ONNX[2:], "--trace", "t"), 2, "Refused", "--trace"),
        ((*ONNX[:4], "--tensor", "image"), 2, "UsageError", "NAME:DTYPE:SHAPE"),
        ((*ONNX[:4], "--tensor", "wrong:float32:1"), 1, "TargetError", "image"),
        ((*ONNX, "--input", "none.bin"), 2, "InputError", "none.bin cannot be read"),
        ((*ONNX, "--input", "a", "--input", "b"), 2, "InputError", "2 files"),
    ],
)
def test_failures_are_events(folder: Path, words: tuple[str, ...], code: int, kind: str, said: str) -> None:
    found, events = alone(folder, *words)
    assert (found, events[-1]["k"], events[-1]["type"]) == (code, "error", kind)
    assert said in str(events[-1]["message"])


def test_a_board_without_the_runtime_is_told_how_to_get_it(
    onnx_artifact: Artifact, board: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare = tmp_path / "python3"  # an interpreter that sees no packages
    bare.write_text(f'#!/bin/sh\nexec {shutil.which("python3", path="/usr/bin") or sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    for python in (str(bare), "no-such-python"):
        with pytest.raises(MissingError, match="pip install numpy onnxruntime"):
            choose(onnx_artifact, board, None).prepare(
                onnx_artifact, board, board.probe(), Wish(threads=1, python=python)
            )


def test_accelerators_are_refused(tmp_path: Path) -> None:
    device = SimpleNamespace(id="ssh:board", kind="ssh", prefix=())
    for target in ("onnx-qnn:SM8650", "onnx-ternary", "litert-qualcomm:SM8650"):
        artifact = made(tmp_path / target.replace(":", "-"), target, "model", b"")
        with pytest.raises(Refused, match="litert-cpu and onnx-cpu"):
            choose(artifact, device, None).prepare(artifact, device, None, WISH)
