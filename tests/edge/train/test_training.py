"""A whole training: its files, its gain, going on after a kill, and everything that it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_models import write_pictures, write_source

from convert.keys import ModelRequest
from convert.prepare import load_any
from edge.errors import CheckpointError, ContractError, InputError, UsageError
from edge.train.machine import Machine
from edge.train.recipe import CHECKPOINT, LOSSES, RECORD, TrainingRecipe
from edge.train.rounds import Bar
from edge.train.run import train_model
from edge.train.state import STATE, UNFINISHED

RECIPE = TrainingRecipe(steps=12, batch=2, lr=2e-3)
CPU = Machine(accelerator="cpu")


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield write_source(tmp_path)
    sys.modules.pop("mine", None)


@pytest.fixture
def folder(tmp_path):
    return write_pictures(tmp_path / "pictures")


def run(source, data, out, recipe=RECIPE, *, function="build", **options):
    request = ModelRequest(model=f"{source}:{function}")
    return train_model(request, recipe, out, data=data, machine=CPU, progress=lambda _: None, **options)


class Killed(Exception):
    """Stand for a kill."""


def killed(_):
    raise Killed


def killed_after(steps):
    def step(done, _):
        if done == steps:
            raise Killed

    return Bar(begin=lambda *_: None, step=step)


def test_a_training_writes_weights_that_the_model_takes_and_a_record(source, folder, tmp_path):
    lines: list[str] = []
    request = ModelRequest(model=f"{source}:build")
    report = train_model(request, RECIPE, tmp_path / "out", data=folder, machine=CPU, progress=lines.append)
    assert report.loss.after < report.loss.before
    assert (report.data.training, report.data.validation, report.data.validation_seen) == (5, 1, False)
    assert json.loads((tmp_path / "out" / RECORD).read_text())["recipe"]["steps"] == 12
    losses = [json.loads(line) for line in (tmp_path / "out" / LOSSES).read_text().splitlines()]
    assert [line["step"] for line in losses] == list(range(1, 13))
    before = load_any(f"{source}:build", None, None).module
    after = load_any(f"{source}:build", tmp_path / "out" / CHECKPOINT, None).module
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, before.state_dict()[name])}
    assert changed == {name for name, _ in before.named_parameters()}  # not the norms' means and variances
    assert any("5 to train on" in line for line in lines)


@pytest.mark.slow
def test_equal_seeds_train_equal_weights(source, folder, tmp_path):
    states = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(source, folder, tmp_path / name, TrainingRecipe(steps=3, batch=2, seed=seed))
        states.append((tmp_path / name / CHECKPOINT).read_bytes())
    assert states[0] == states[1] != states[2]


@pytest.mark.slow
def test_a_broken_off_training_goes_on_to_the_same_weights(source, folder, tmp_path):
    run(source, folder, tmp_path / "whole", keep_every=5)
    with pytest.raises(Killed):
        run(source, folder, tmp_path / "parts", keep_every=5, bar=killed_after(8))
    assert len((tmp_path / "parts" / LOSSES).read_text().splitlines()) == 8
    (tmp_path / "parts" / f".{STATE}.part").write_bytes(b"half a state")  # as a kill while writing leaves it
    resumed = run(source, folder, tmp_path / "parts", keep_every=5, resume=True)
    assert (tmp_path / "parts" / CHECKPOINT).read_bytes() == (tmp_path / "whole" / CHECKPOINT).read_bytes()
    whole = json.loads((tmp_path / "whole" / RECORD).read_text())
    assert json.loads((tmp_path / "parts" / RECORD).read_text())["loss"] == whole["loss"]
    assert [json.loads(line)["step"] for line in (tmp_path / "parts" / LOSSES).read_text().splitlines()] == list(
        range(1, 13)
    )
    again = run(source, folder, tmp_path / "parts", resume=True)  # nothing left to do
    assert again.checkpoint_sha256 == resumed.checkpoint_sha256


@pytest.mark.slow
def test_a_kill_in_the_first_write_leaves_a_folder_to_start_in(source, folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("edge.train.state.os.fsync", killed)
        with pytest.raises(Killed):
            run(source, folder, out)
    assert {path.name for path in out.iterdir()} <= {".lock", UNFINISHED}
    assert (out / UNFINISHED).is_file()
    with pytest.raises(UsageError, match="holds no training to resume .* leave --resume out"):
        run(source, folder, out, resume=True)
    run(source, folder, out, TrainingRecipe(steps=1, batch=1))
    assert (out / CHECKPOINT).is_file()
    assert not (out / UNFINISHED).exists()


@pytest.mark.slow
def test_what_a_resumed_training_must_have_in_common(source, folder, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Killed):
        run(source, folder, out, bar=killed_after(1))
    with pytest.raises(UsageError, match="exists; go on with --resume"):
        run(source, folder, out)
    with pytest.raises(UsageError, match="it started from other weights"):
        run(source, folder, out, function="other", resume=True)
    with pytest.raises(UsageError, match=r"with lr 0.002, not 0.1; choose another --out"):
        run(source, folder, out, TrainingRecipe(steps=12, batch=2, lr=0.1), resume=True)
    with pytest.raises(UsageError, match="on other pictures"):
        run(source, write_pictures(tmp_path / "more", 7), out, resume=True)
    with pytest.raises(UsageError, match="holds no training to resume"):
        run(source, folder, tmp_path / "new", resume=True)
    (out / STATE).write_bytes((out / STATE).read_bytes()[:1000])
    with pytest.raises(UsageError, match="is damaged or of another version"):
        run(source, folder, out, resume=True)


@pytest.mark.slow
def test_pictures_that_cannot_be_used(source, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        run(source, tmp_path / "empty", tmp_path / "out")
    (folder / "3.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"3.png is not a picture that can be read"):
        run(source, folder, tmp_path / "out2")
    lines: list[str] = []
    request = ModelRequest(model=f"{source}:build")
    few = write_pictures(tmp_path / "few", 2)
    recipe = TrainingRecipe(steps=1, batch=1)
    report = train_model(request, recipe, tmp_path / "out3", data=few, machine=CPU, progress=lines.append)
    assert report.data.validation_seen
    assert any("too few pictures" in line for line in lines)


def test_models_that_cannot_be_trained(source, folder, tmp_path):
    with pytest.raises(ContractError, match="holds NaN or infinity on the training pictures"):
        run(source, folder, tmp_path / "a", function="broken")
    request = ModelRequest(model="some.pt2")
    with pytest.raises(UsageError, match="no checkpoint can be deployed with it"):
        train_model(request, RECIPE, tmp_path / "b", data=folder, machine=CPU)
    (tmp_path / "damaged.safetensors").write_bytes(b"{}")
    request = ModelRequest(model=f"{source}:build", checkpoint=tmp_path / "damaged.safetensors")
    with pytest.raises(CheckpointError, match="damaged"):
        train_model(request, RECIPE, tmp_path / "c", data=folder, machine=CPU)
    with pytest.raises(UsageError, match="cannot train on 3 of nothing"):
        train_model(request, RECIPE, tmp_path / "d", data=folder, machine=Machine(accelerator="nothing", devices="3"))


@pytest.mark.slow
def test_a_killed_command_goes_on_to_the_same_weights(source, folder, tmp_path):
    """A real `kill -9` in mid-training, through the command line."""
    command = [sys.executable, "-m", "edge", "train", f"{source}:build", "--qat", "--data", str(folder)]
    command += ["--steps", "60", "--batch", "2", "--accelerator", "cpu"]
    beside = str(Path(__file__).parent)  # where the model's module is
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([beside, *sys.path])}
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, env=environment, capture_output=True)
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "parts")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    losses = tmp_path / "parts" / LOSSES
    deadline = time.monotonic() + 240
    while (len(losses.read_bytes().splitlines()) if losses.is_file() else 0) < 30:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "parts" / CHECKPOINT).exists()
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "parts"), "--resume"], env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    whole, parts = (load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


@pytest.mark.full
@pytest.mark.slow
def test_selfie_segmentation_loses_less_to_eight_bits(tmp_path):
    request = ModelRequest(model="selfie-segmentation")
    report = train_model(request, TrainingRecipe(steps=16), tmp_path / "out", machine=CPU, progress=lambda _: None)
    assert report.loss.after < report.loss.before
    assert load_any("selfie-segmentation", tmp_path / "out" / CHECKPOINT, None).source.licence == "Apache-2.0"
