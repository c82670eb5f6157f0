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
from edge.train.loop import rounding_share
from edge.train.qat import copy_weights, make_pair
from edge.train.recipe import CHECKPOINT, TrainingRecipe
from edge.train.rounding import set_phase
from edge.train.run import Machine, train_model
from edge.train.ternary import TernaryQuantizer, roundings, set_share


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


def test_a_way_of_training_is_asked_for(tmp_path):
    for flags in ([], ["--qat", "--ternary"]):
        with pytest.raises(UsageError, match="--qat for 8 bits, or --ternary"):
            train_command.main(["selfie-segmentation", "--out", str(tmp_path / "o"), *flags], standalone_mode=False)
