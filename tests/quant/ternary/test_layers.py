"""Layers that learn ternary weights: what they compute, what gradients do, and what is left when they are frozen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from convert.checkpoint import read_checkpoint
from edge.errors import CheckpointError, UsageError
from quant.ternary import NotTernary, ternary_of
from quant.ternary.checkpoint import KEY, write_packed
from quant.ternary.importers import from_bitnet, from_bitnet_latent, from_paretoq
from quant.ternary.layers import TernaryConv2d, TernaryLinear, freeze, set_warmup, ternarize
from quant.ternary.rounding import METHODS, round_activations, straight_through, trits_and_scale


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.BatchNorm2d(64),
        nn.Conv2d(64, 64, 3, padding="same", groups=64),
        nn.Conv2d(64, 8, 1),
        nn.Conv2d(8, 64, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 48),
        nn.ReLU(),
        nn.Linear(48, 32, bias=False),
        nn.Linear(32, 5),
    ).eval()


def test_the_layers_that_bear_it_are_chosen() -> None:
    kinds = {name: type(part) for name, part in ternarize(network()).named_children()}
    assert [name for name, kind in kinds.items() if kind is TernaryConv2d] == ["2"]
    assert [name for name, kind in kinds.items() if kind is TernaryLinear] == ["9", "11"]


def test_a_warm_up_begins_at_the_float_layer_and_ends_at_the_frozen_one() -> None:
    plain, values = network(), torch.rand(2, 3, 16, 16)
    model = ternarize(plain, activation_bits=None)
    set_warmup(model, 0.0)
    assert torch.allclose(model(values), plain(values), atol=1e-5)
    set_warmup(model, 1.0)
    frozen = freeze(model)
    assert torch.allclose(model(values), frozen(values), atol=1e-5)
    assert {type(part) for part in frozen.children()} == {type(part) for part in plain.children()}
    assert list(frozen.state_dict()) == list(plain.state_dict())
    for name in ("2", "9", "11"):
        weight = frozen.get_submodule(name).weight.detach()
        assert np.array_equal(ternary_of(weight.numpy()).dequantize(), weight.numpy())
        assert torch.equal(weight.half().float(), weight)  # for who computes in float16
    with pytest.raises(NotTernary):
        ternary_of(frozen[0].weight.detach().numpy())


def test_a_folded_batch_norm_leaves_a_frozen_weight_ternary() -> None:
    frozen = freeze(ternarize(network()))
    frozen[3].running_mean.uniform_(-1, 1)
    frozen[3].running_var.uniform_(0.5, 2)
    folded = nn.utils.fusion.fuse_conv_bn_eval(frozen[2], frozen[3])
    found = ternary_of(folded.weight.detach().numpy())
    assert np.array_equal(np.abs(found.trits), np.abs(ternary_of(frozen[2].weight.detach().numpy()).trits))


@pytest.mark.parametrize("method", METHODS)
def test_training_brings_an_answer_nearer(method) -> None:
    torch.manual_seed(1)
    # Inputs that depend on each other, as activations do: only then can one weight's rounding make up for another's.
    teacher, values = nn.Linear(48, 40), torch.randn(512, 12) @ torch.randn(12, 48) / 12**0.5
    model = ternarize(nn.Sequential(nn.Identity(), teacher), lambda *_: True, method=method)
    wanted = teacher(values).detach()

    def loss_of(student: nn.Module) -> torch.Tensor:
        return nn.functional.mse_loss(student(values), wanted)

    before = loss_of(freeze(model)).item()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=300)
    for step in range(300):
        set_warmup(model, step / 100)
        optimizer.zero_grad()
        loss_of(model).backward()
        assert all(part.grad is not None and part.grad.isfinite().all() for part in model.parameters())
        optimizer.step()
        schedule.step()
    assert loss_of(freeze(model)).item() < 0.4 * before


def test_gradients_pass_where_weights_are_not_cut_off() -> None:
    weight = torch.tensor([[0.2, 0.9, -3.0]], requires_grad=True)
    scale = torch.tensor([1.0], requires_grad=True)
    found = straight_through(weight, scale)
    assert found.tolist() == [[0.0, 1.0, -1.0]]
    found.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1.0, 1.0, 0.0]]
    assert scale.grad is not None
    assert scale.grad.item() == pytest.approx(-0.2 + 0.1 - 1.0)  # trit - w/s where it is not cut off, else the trit


def test_the_cut_of_twn_has_less_error_than_that_of_absmean() -> None:
    torch.manual_seed(0)
    weight = torch.randn(16, 512)
    errors = {}
    for method in METHODS:
        trits, scale = trits_and_scale(weight, method)
        assert set(trits.unique().tolist()) <= {-1.0, 0.0, 1.0}
        assert (scale > 0).all()
        errors[method] = float((weight - trits * scale[:, None]).square().mean())
    assert errors["twn"] < errors["absmean"] < 0.4


def test_a_channel_of_zeros_keeps_a_positive_scale() -> None:
    for method in METHODS:
        trits, scale = trits_and_scale(torch.zeros(2, 4), method)
        assert not trits.any()
        assert (scale > 0).all()


def test_activations_are_rounded_a_token() -> None:
    values = torch.tensor([[1.0, 0.5], [100.0, 1.0]])
    assert round_activations(values, dim=-1)[0].tolist() == pytest.approx([1.0, 64 / 127])
    assert round_activations(values)[0].tolist() == pytest.approx([100 / 127, 100 / 127])
    assert round_activations(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_nothing_to_choose_is_refused() -> None:
    with pytest.raises(UsageError, match="no layer of Sequential was chosen"):
        ternarize(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))
    with pytest.raises(UsageError, match="'reflect'"):
        ternarize(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")), lambda *_: True)


def test_a_packed_checkpoint_loads_as_the_weights_it_stands_for(tmp_path: Path) -> None:
    frozen = freeze(ternarize(network()))
    path = tmp_path / "weights.safetensors"
    packed = write_packed(path, frozen.state_dict())
    assert sorted(packed) == ["11.weight", "2.weight", "9.weight"]
    found = read_checkpoint(path)
    for name, tensor in frozen.state_dict().items():
        assert torch.equal(found[name], tensor), name
    assert load_file(path)["2.weight"].numel() < frozen[2].weight.numel() / 4


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ("[1]", "no list of names"),
        ("[", "cannot be read"),
        ('["b"]', "no bytes of that name"),
        ('["a"]', "packed ternary"),
    ],
)
def test_damaged_packed_checkpoints_are_refused(tmp_path: Path, listed: str, words: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(100, dtype=torch.uint8)}, path, metadata={KEY: listed})
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(path)


def test_bitnet_layers_become_what_they_compute() -> None:
    generator = np.random.default_rng(0)
    trits = generator.integers(-1, 2, (8, 6))
    packed = sum(((trits[2 * place : 2 * place + 2] + 1) << (2 * place)) for place in range(4)).astype(np.uint8)
    found = from_bitnet(packed, np.array([4.0]))
    assert np.array_equal(found.trits, trits)
    assert found.scale.tolist() == [0.25] * 8
    assert from_bitnet(packed, 4.0, out_features=7).shape == (7, 6)
    for wrong, scale, words in (
        (packed | 3, 4.0, "code 3"),
        (packed, 0.0, "positive"),
        (packed.astype(int), 4.0, "uint8"),
    ):
        with pytest.raises(NotTernary, match=words):
            from_bitnet(wrong, scale)
    with pytest.raises(NotTernary, match="5 to 8 outputs, not 9"):
        from_bitnet(packed, 4.0, out_features=9)


def test_latent_weights_become_what_their_layers_compute() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    found = from_bitnet_latent(weight)
    scale = np.abs(weight).mean()
    assert found.scale == pytest.approx(np.full(4, scale), rel=1e-6)
    assert np.array_equal(found.trits, np.clip(np.rint(weight / scale), -1, 1))
    alpha = np.array([0.5, 1.0, 1.5, 2.0], np.float32)
    learnt = from_paretoq(weight, alpha)
    levels = np.rint(1.5 * np.clip(weight / alpha[:, None], -0.99, 0.99)) / 1.5 * alpha[:, None]
    assert learnt.dequantize() == pytest.approx(levels, rel=1e-6)
    with pytest.raises(NotTernary, match="one positive number"):
        from_paretoq(weight, alpha[:3])


def test_the_list_of_packed_names_is_in_the_file(tmp_path: Path) -> None:
    from safetensors import safe_open

    path = tmp_path / "weights.safetensors"
    write_packed(path, {"w": torch.tensor([[0.5, -0.5, 0.0]]), "x": torch.tensor([[0.5, 0.2, 0.0]])}, "t2")
    with safe_open(path, "pt") as stream:
        assert json.loads(stream.metadata()[KEY]) == ["w"]
