"""Training for ternary weights: which layers get them, what is written, and that a deployed program has them."""

import sys

import pytest
import torch
from training_models import Net, WideNet, contract, write_pictures, write_source

from convert.export import export
from convert.keys import ModelRequest
from convert.passes import optimize
from convert.prepare import load_any
from convert.program import Model
from convert.ternary import ternary_layers
from edge.artifact import Source
from edge.cli.train import train_command
from edge.errors import Refused, UsageError
from edge.train.features import with_features
from edge.train.ladder import climb, round_end
from edge.train.loop import Distances, learning_rate, rounding_share
from edge.train.losses import distillation
from edge.train.machine import Machine
from edge.train.qat import copy_weights, make_pair
from edge.train.recipe import CHECKPOINT, TrainingRecipe
from edge.train.rounding import set_phase
from edge.train.run import train_model
from edge.train.ternary import TernaryQuantizer, coded, codes_and_scale, roundings, rung_sizes, set_share
from quant.ternary.rounding import half_scale


@pytest.fixture
def net():
    torch.manual_seed(0)
    return WideNet().eval()


def pair_of(net):
    return make_pair(export(Model("net", net, contract(), Source(sha256=""))), TernaryQuantizer())


def ternary_operators(net):
    program = optimize(export(Model("net", net, contract(), Source(sha256=""))), "onnx-cpu")
    return ternary_layers(program)


def test_the_layers_between_the_first_and_the_last_become_ternary_and_stay_so_with_folded_norms(net):
    pair = pair_of(net)
    assert len(roundings(pair.student)) == 2
    x = torch.rand(1, 3, 16, 16)
    set_phase(pair.student, "fixed")
    with torch.no_grad():
        (rounded,) = pair.student(x)
        assert copy_weights(pair.student, net) == sum(weight.numel() for weight in net.parameters())
        assert torch.allclose(net(x), rounded, atol=1e-4)
    found = ternary_operators(net)
    assert [layer.tensor.shape for layer in found] == [(48, 32, 3, 3), (32, 48, 1, 1)]


def test_rounding_sets_in_slowly(net):
    pair = pair_of(net)
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        (teacher,) = pair.teacher(x)
        set_phase(pair.student, "follow")
        set_share(pair.student, 0.0)
        assert torch.allclose(pair.student(x)[0], teacher, atol=1e-5)
        distances = []
        for share in (0.1, 0.5, 1.0):
            set_share(pair.student, share)
            distances.append(float((pair.student(x)[0] - teacher).square().mean()))
    assert distances[0] < distances[1] < distances[2]
    assert [rounding_share(TrainingRecipe(steps=10, onset=0.5), step) for step in (0, 4, 9)] == [0.2, 1.0, 1.0]
    assert rounding_share(TrainingRecipe(steps=10, onset=0.0), 0) == 1.0


@pytest.mark.parametrize("rung", [1, 7, 127])
def test_a_rung_s_weights_are_codes_times_a_scale_that_half_precision_holds(rung):
    weight = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(rung))
    found = coded(weight, rung)
    codes, scale = codes_and_scale(weight, rung)
    half = half_scale(scale).reshape(-1, 1, 1, 1)
    assert torch.equal(found, codes * half)
    assert torch.equal(half, half.half().float())
    assert codes.abs().max() == rung
    error = (found - weight).abs().amax(dim=(1, 2, 3))
    assert rung == 1 or bool((error <= 0.51 * scale).all())


def test_the_layer_that_gains_most_goes_up_the_ladder(net):
    program = export(Model("net", net, contract(), Source(sha256="")))
    pair, names = with_features(make_pair(program, TernaryQuantizer()))
    inputs = [(torch.rand(1, 3, 16, 16),)]
    with torch.no_grad():
        answers = [pair.teacher(*each) for each in inputs]
    assert [len(answer) for answer in answers] == [1 + len(names)] == [3]
    distances = Distances(pair, distillation(program.contract, answers, names), inputs, inputs)
    set_phase(pair.student, "fixed")
    before = sum(distances.now().values())
    found = [part.rung for part in roundings(pair.student)]
    for number in range(1, 5):
        assert climb(distances) == 1
        found = sorted(part.rung for part in roundings(pair.student))
        assert found == {1: [1, 7], 2: found, 3: [7, 127], 4: [127, 127]}[number]
    assert climb(distances) == 0
    assert sum(distances.now().values()) < 0.05 * before
    assert rung_sizes(pair.student) == {"int8": 48 * 32 * 9 + 32 * 48}


def test_later_rounds_are_shorter_and_begin_with_half_the_rate():
    recipe = TrainingRecipe(steps=10, warmup=0.0, lr=1.0)
    assert [round_end(recipe, climbs) for climbs in range(3)] == [10, 15, 20]
    rates = [learning_rate(recipe, step) for step in range(20)]
    assert rates[10:15] == rates[15:20]
    assert rates[10] == rates[0] / 2
    assert rates[9] < rates[8] < rates[0]


def test_a_model_of_narrow_layers_is_refused():
    with pytest.raises(Refused, match="32 channels and more"):
        pair_of(Net().eval())


@pytest.mark.slow
def test_a_training_lowers_the_loss_and_writes_exact_ternary_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    source, pictures = write_source(tmp_path), write_pictures(tmp_path / "pictures")
    recipe = TrainingRecipe(precision="ternary", steps=40, batch=2, lr=1e-2)
    report = train_model(
        ModelRequest(model=f"{source}:wide"), recipe, tmp_path / "out", data=pictures,
        machine=Machine(accelerator="cpu"), progress=lambda _: None,
    )  # fmt: skip
    sys.modules.pop("mine", None)
    assert report.loss.after < 0.5 * report.loss.before
    assert report.ternary == 48 * 32 * 9 + 32 * 48
    trained = load_any(f"{source}:wide", tmp_path / "out" / CHECKPOINT, None).module
    sys.modules.pop("mine", None)
    assert len(ternary_operators(trained.eval())) == 2


@pytest.mark.slow
def test_a_budget_that_is_missed_sends_layers_up_and_a_killed_training_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    source, pictures = write_source(tmp_path), write_pictures(tmp_path / "pictures")
    recipe = TrainingRecipe(precision="ternary", steps=4, batch=1, lr=1e-3, max_drop=0.0)

    def trained(out, *, resume=False, progress=lambda _: None):
        sys.modules.pop("mine", None)
        return train_model(
            ModelRequest(model=f"{source}:wide"), recipe, tmp_path / out, data=pictures, resume=resume,
            machine=Machine(accelerator="cpu"), keep_every=1, progress=progress,
        )  # fmt: skip

    whole = trained("whole")
    assert whole.ladder.weights == {"int8": whole.ladder.weights["int8"]}
    assert whole.ladder.climbs == 4
    assert not whole.ladder.met
    assert whole.ternary == 0

    def killed(line):
        if line.startswith("ladder") and line.endswith("rung"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained("broken", progress=killed)
    assert trained("broken", resume=True).checkpoint_sha256 == whole.checkpoint_sha256
    sys.modules.pop("mine", None)


def test_a_budget_needs_a_ladder(tmp_path):
    words = ["selfie-segmentation", "--out", str(tmp_path / "o"), "--qat", "--max-drop", "5%"]
    with pytest.raises(UsageError, match="give it with --ternary"):
        train_command.main(words, standalone_mode=False)


def test_a_way_of_training_is_asked_for(tmp_path):
    for flags in ([], ["--qat", "--ternary"]):
        with pytest.raises(UsageError, match="--qat for 8 bits, or --ternary"):
            train_command.main(["selfie-segmentation", "--out", str(tmp_path / "o"), *flags], standalone_mode=False)
