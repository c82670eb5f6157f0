"""The frame that recipes train in: what it writes, that it repeats itself, and that a kill costs nothing."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import tiny_recipe
import torch
from safetensors.torch import load_file
from tiny_recipe import PLAN, prepare, tiny, train

from edge.errors import EdgeError, UsageError
from edge.train.averaging import AveragedWeights
from edge.train.logs import Curves, read_curves
from edge.train.machine import Machine
from edge.train.plan import Plan, RecipeReport, planned_rate
from edge.train.recipe import CHECKPOINT, RECORD
from edge.train.rounds import Bar
from edge.train.snapshots import Identity, read_snapshot
from edge.train.state import STATE, UNFINISHED
from edge.train.steps import step_seed


class Killed(Exception):
    """Stand for a kill."""


def killed(_):
    raise Killed


def killed_after(steps):
    def step(done, _):
        if done == steps:
            raise Killed

    return Bar(begin=lambda *_: None, step=step)


def test_a_recipe_writes_weights_a_record_and_curves(tmp_path):
    report = train(tmp_path / "out")
    state = load_file(tmp_path / "out" / CHECKPOINT)
    assert set(state) == set(tiny_recipe.TinyLearner().network.state_dict())  # without the projector
    written = msgspec.json.decode((tmp_path / "out" / RECORD).read_bytes(), type=RecipeReport)
    assert written == report
    assert report.metrics == report.curve[-1].metrics
    assert [point.step for point in report.curve] == [6, 12]
    assert report.references.keys() == {"always zero"}
    assert report.parameters == 3 * 8 + 8 + 8 + 8 + 8 + 1
    rows = read_curves(tmp_path / "out")
    assert [step for step, row in rows if "loss" in row] == [1, 10, 12]
    assert [step for step, row in rows if "held-out/fit" in row] == [6, 12]
    losses = dict(rows)[10]
    assert losses["loss"] == pytest.approx(losses["loss/l2"] + losses["loss/projected"], rel=1e-5)


def test_training_learns(tmp_path):
    report = train(tmp_path / "out", plan=msgspec.structs.replace(PLAN, steps=300, batch=16, evaluate_every=300))
    assert report.metrics["fit"] > report.references["always zero"] + 0.2


def test_equal_seeds_train_equal_weights(tmp_path):
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tmp_path / name, plan=msgspec.structs.replace(PLAN, seed=seed))
        found.append((tmp_path / name / CHECKPOINT).read_bytes())
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("broken_off", [1, 5, 8, 11])
def test_a_broken_off_training_goes_on_to_the_same_weights(tmp_path, broken_off):
    whole = train(tmp_path / "whole", keep_every=5)
    with pytest.raises(Killed):
        train(tmp_path / "parts", keep_every=5, bar=killed_after(broken_off))
    (tmp_path / "parts" / f".{STATE}.part").write_bytes(b"half a state")  # as a kill while writing leaves it
    resumed = train(tmp_path / "parts", keep_every=5, resume=True)
    assert (tmp_path / "parts" / CHECKPOINT).read_bytes() == (tmp_path / "whole" / CHECKPOINT).read_bytes()
    assert resumed.curve == whole.curve
    names = ("loss", "loss/l2", "held-out/fit", "lr")
    curves = [
        [(step, {name: row[name] for name in names if name in row}) for step, row in read_curves(tmp_path / folder)]
        for folder in ("whole", "parts")
    ]
    assert curves[0] == curves[1]
    assert train(tmp_path / "parts", resume=True).checkpoint_sha256 == whole.checkpoint_sha256  # nothing left to do


def test_a_kill_in_the_first_write_leaves_a_folder_to_start_in(tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("edge.train.state.os.fsync", killed)
        with pytest.raises(Killed):
            train(out)
    assert {path.name for path in out.iterdir()} <= {".lock", UNFINISHED}
    assert (out / UNFINISHED).is_file()
    with pytest.raises(UsageError, match="holds no training to resume .* leave --resume out"):
        train(out, resume=True)
    train(out)
    assert (out / CHECKPOINT).is_file()
    assert not (out / UNFINISHED).exists()


def test_what_a_resumed_training_must_have_in_common(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Killed):
        train(out, bar=killed_after(1))
    with pytest.raises(UsageError, match="exists; go on with --resume"):
        train(out)
    with pytest.raises(UsageError, match=r"with lr 0.01, not 0.1; choose another --out"):
        train(out, plan=msgspec.structs.replace(PLAN, lr=0.1), resume=True)
    with pytest.raises(UsageError, match="of the recipe tiny, not other"):
        train(out, recipe=tiny(name="other"), resume=True)
    with pytest.raises(UsageError, match="in 32-true, not bf16-mixed"):
        train(out, machine=Machine(accelerator="cpu", precision="bf16-mixed"), resume=True)
    mine = msgspec.json.decode(torch.load(out / STATE, weights_only=True)["identity"], type=Identity)
    with pytest.raises(UsageError, match="with --devices 1, not 2; choose another --out"):
        read_snapshot(out, msgspec.structs.replace(mine, processes=2))
    with pytest.raises(UsageError, match="holds no training to resume"):
        train(tmp_path / "new", resume=True)
    (out / STATE).write_bytes((out / STATE).read_bytes()[:500])
    with pytest.raises(UsageError, match="is damaged or of another version"):
        train(out, resume=True)


def test_what_cannot_be_trained(tmp_path):
    with pytest.raises(UsageError, match="makes its data itself; leave --data"):
        train(tmp_path / "a", data=tmp_path)
    with pytest.raises(UsageError, match="cannot train on 3 of nothing"):
        train(tmp_path / "b", machine=Machine(accelerator="nothing", devices="3"))

    def broken(setting):
        study = prepare(setting)
        study.learner.network[0].weight.data.fill_(math.nan)
        return study

    with pytest.raises(EdgeError, match="the loss of step 1 is nan"):
        train(tmp_path / "c", recipe=tiny(prepare=broken))


@pytest.mark.full
@pytest.mark.slow
def test_workers_change_nothing(tmp_path):
    for workers in (0, 2):
        train(tmp_path / str(workers), machine=Machine(accelerator="cpu", workers=workers))
    found = {(tmp_path / str(workers) / CHECKPOINT).read_bytes() for workers in (0, 2)}
    assert len(found) == 1


def test_mixed_precision(tmp_path):
    report = train(tmp_path / "out", machine=Machine(accelerator="cpu", precision="bf16-mixed"))
    assert report.precision == "bf16-mixed"
    assert load_file(tmp_path / "out" / CHECKPOINT)["0.weight"].dtype == torch.float32


def child(out, *options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(tiny_recipe.__file__)), str(out), *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_weights(tmp_path):
    """A real `kill -9` in mid-training."""
    whole, parts = child(tmp_path / "whole"), child(tmp_path / "parts", "--slow")
    deadline = time.monotonic() + 120
    while not (rows := read_curves(tmp_path / "parts")) or rows[-1][0] < 20:
        assert parts.poll() is None, parts.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    parts.send_signal(signal.SIGKILL)
    parts.communicate()
    assert whole.wait() == 0, whole.stderr.read()
    assert not (tmp_path / "parts" / CHECKPOINT).exists()
    resumed = child(tmp_path / "parts", "--resume")
    _, errors = resumed.communicate()
    assert resumed.returncode == 0, errors
    whole.stderr.close()
    assert (tmp_path / "whole" / CHECKPOINT).read_bytes() == (tmp_path / "parts" / CHECKPOINT).read_bytes()
    assert json.loads((tmp_path / "parts" / RECORD).read_text())["plan"]["steps"] == 60


@pytest.mark.slow
def test_two_processes_share_a_batch(tmp_path):
    process = child(tmp_path / "out", "--two")
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    report = msgspec.json.decode((tmp_path / "out" / RECORD).read_bytes(), type=RecipeReport)
    assert report.processes == 2
    assert [point.step for point in report.curve] == list(range(6, 61, 6))


@pytest.mark.slow
def test_two_processes_do_not_go_on_with_what_one_began(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path / "out", plan=msgspec.structs.replace(PLAN, steps=60), bar=killed_after(1))
    process = child(tmp_path / "out", "--two", "--resume")
    _, errors = process.communicate(timeout=240)
    assert process.returncode != 0
    assert b"with --devices 1, not 2; choose another --out" in errors


def test_a_plan_s_learning_rate_rises_and_falls():
    plan = Plan(steps=100, batch=1, lr=2.0, warmup=0.1, floor=0.05)
    rates = [planned_rate(plan, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == pytest.approx(2.0)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, rel=0.02)
    assert planned_rate(Plan(steps=1, batch=1, lr=2.0), 0) == 2.0


def test_the_average_follows_the_weights():
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    averaged = AveragedWeights(network, keep=0.5)
    torch.nn.init.ones_(network.weight)
    averaged.update(network, step=0)
    assert float(averaged.network.weight) == pytest.approx(0.9)  # early: 1 - 1 / 10
    averaged.update(network, step=1000)
    assert float(averaged.network.weight) == pytest.approx(0.95)
    assert not averaged.network.weight.requires_grad


def test_seeds_of_steps_differ():
    seeds = {step_seed(seed, step, rank) for seed in range(3) for step in range(10) for rank in range(2)}
    assert len(seeds) == 60
    assert step_seed(1, 2, 3) == step_seed(1, 2, 3)


def test_curves_take_back_what_a_resumed_training_repeats(tmp_path):
    curves = Curves(tmp_path, 0)
    for step in range(1, 6):
        curves.log(step, {"loss": float(step)})
    curves.log(5, {"held-out/fit": 0.5})
    curves.close()
    again = Curves(tmp_path, 3)
    again.log(4, {"loss": 40.0})
    again.close()
    assert read_curves(tmp_path) == [(1, {"loss": 1.0}), (2, {"loss": 2.0}), (3, {"loss": 3.0}), (4, {"loss": 40.0})]
