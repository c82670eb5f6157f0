"""Pr-VIPE: the published variables, and a forward pass written from them in numpy."""

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

import convert.keys
import convert.load
from convert.keys import ModelRequest, prepared_key
from convert.load import load
from edge.errors import CheckpointError
from edge.tasks.embedding import FIRST_SLOPE
from edge.zoo import MODELS
from edge.zoo._pr_vipe import PrVipe, published_names

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "pr_vipe_variables.json").read_text())
PUBLISHED = 4_260_000  # multiply-accumulates and, nearly, parameters


def variables(seed=0):
    """Return random variables under the published names, as a training of poem saves them."""
    random = np.random.default_rng(seed)
    made = {}
    for name, shape in GOLDEN.items():
        value = random.normal(size=shape) * (shape[0] ** -0.5 if len(shape) == 2 else 0.3)
        positive = name.endswith(("gamma", "moving_variance"))
        made[name] = np.asarray(np.abs(value) + 0.5 if positive else value, np.float32)
    return made


def forward(variables, keypoints):
    """Run poem's simple model: its matrices multiply from the right, and its points are y before x."""

    def layer(values, scope):
        values = values @ variables[f"{scope}/Linear/weight"] + variables[f"{scope}/Linear/bias"]
        gamma, beta, mean, variance = (
            variables[f"{scope}/BatchNorm/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return np.maximum((values - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0)

    net = layer(keypoints[..., ::-1].reshape(len(keypoints), -1), "SimpleModel/InputFC")
    for block in range(2):
        scope = f"SimpleModel/FullyConnectedBlock_{block}"
        net = net + layer(layer(net, f"{scope}/FC_0"), f"{scope}/FC_1")
    mean, raw = (
        net @ variables[f"SimpleModel/OutputLogits/C0/{name}/weight"]
        + variables[f"SimpleModel/OutputLogits/C0/{name}/bias"]
        for name in ("unnormalized_embeddings", "embedding_stddevs")
    )
    return mean, np.where(raw > 0, raw + 1, np.exp(raw))


def test_every_variable_and_shape_is_the_published_one():
    with torch.device("meta"):
        state = PrVipe().state_dict()
    found = {}
    for key, name in published_names().items():
        shape = list(state.pop(key).shape)
        found[name] = shape[::-1]
    assert found == GOLDEN
    assert all(key.endswith("num_batches_tracked") for key in state)


def test_parameters_and_multiply_accumulates_are_the_published_ones():
    network = MODELS["pr-vipe"].network().eval()
    weights = sum(p.numel() for name, p in network.named_parameters() if not name.startswith("matching."))
    assert weights == 4_269_088
    assert weights == pytest.approx(PUBLISHED, rel=0.01)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 13, 2))
    assert counter.get_total_flops() / 2 == pytest.approx(PUBLISHED, rel=0.01)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_tensorflow_checkpoint_gives_the_same_answers(tmp_path, suffix):
    given = variables()
    path = tmp_path / f"poem{suffix}"
    averaged = {f"{name}/ExponentialMovingAverage": value for name, value in given.items() if "moving" not in name}
    kept = {name: np.zeros_like(value) if "moving" not in name else value for name, value in given.items()}
    extra = {"global_step": np.array(7, np.int64), "SimpleModel/InputFC/Linear/bias/Adagrad": np.ones(1024, np.float32)}
    if suffix == ".npz":
        np.savez(path, **kept, **averaged, **extra)
    else:
        plain = {f"{name}:0": torch.from_numpy(value) for name, value in {**given, **extra}.items()}
        save_file(plain, path)
    model = load("pr-vipe", path)
    keypoints = np.random.default_rng(1).normal(size=(5, 13, 2)).astype(np.float32)
    with torch.no_grad():
        mean, sigma = model.module(torch.from_numpy(keypoints))
    expected = forward(given, keypoints)
    assert np.allclose(mean, expected[0], rtol=1e-4, atol=1e-4)
    assert np.allclose(sigma, expected[1], rtol=1e-4, atol=1e-4)
    assert (sigma >= 0).all()
    settings = model.contract.postprocess.settings
    raw = float(given["MatchingSigmoid/a"])
    assert settings["a"] == pytest.approx(raw + 1 if raw > 0 else np.exp(raw), rel=1e-5)
    assert settings["b"] == pytest.approx(float(given["MatchingSigmoid/b"]))


def test_its_own_state_dict_loads_too(tmp_path):
    torch.manual_seed(0)
    network = PrVipe()
    torch.save(network.state_dict(), tmp_path / "own.pth")
    model = load("pr-vipe", tmp_path / "own.pth")
    assert model.contract == msgspec.structs.replace(MODELS["pr-vipe"].contract, postprocess=model.contract.postprocess)
    assert model.contract.postprocess.settings["a"] == pytest.approx(FIRST_SLOPE)
    assert all(torch.equal(tensor, network.state_dict()[key]) for key, tensor in model.module.state_dict().items())


def test_weights_that_come_with_the_kit_are_loaded_without_asking(tmp_path, monkeypatch):
    entry = dataclasses.replace(MODELS["pr-vipe"], trained="own.safetensors")
    monkeypatch.setitem(MODELS._entries, "pr-vipe", entry)
    for module in (convert.load, convert.keys):
        monkeypatch.setattr(module, "TRAINED", tmp_path)
    assert entry.weight_status == "trained here"
    keys = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        state = PrVipe().state_dict()
        save_file(state, tmp_path / "own.safetensors")
        model = load("pr-vipe")
        assert torch.equal(model.module.state_dict()["mean.weight"], state["mean.weight"])
        assert model.source.origin == "own.safetensors"
        keys.append(prepared_key(ModelRequest(model="pr-vipe")))
    assert keys[0] != keys[1]


def test_a_checkpoint_with_missing_variables_names_them(tmp_path):
    given = variables()
    del given["SimpleModel/FullyConnectedBlock_1/FC_0/BatchNorm/beta"]
    np.savez(tmp_path / "poem.npz", **given)
    with pytest.raises(CheckpointError, match=r"poem\.npz: .* lacks 1 variables .*FC_0/BatchNorm/beta"):
        load("pr-vipe", tmp_path / "poem.npz")


def test_a_deeper_network_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("convert.checkpoint._matching_model", lambda state: "")  # builds every network; not the point
    given = variables()
    deeper = {name.replace("Block_1", "Block_2"): value for name, value in given.items() if "Block_1" in name}
    np.savez(tmp_path / "poem.npz", **given, **deeper)
    with pytest.raises(CheckpointError, match="does not fit pr-vipe"):
        load("pr-vipe", tmp_path / "poem.npz")


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04 not really", b"\x93NUMPY"])
def test_a_damaged_npz(tmp_path, body):
    (tmp_path / "poem.npz").write_bytes(body)
    with pytest.raises(CheckpointError):
        load("pr-vipe", tmp_path / "poem.npz")


def test_dropout_works_in_training_only():
    network = PrVipe(width=32, blocks=1, size=4)
    points = torch.rand(6, 13, 2)
    assert not torch.equal(network.train()(points)[0], network(points)[0])
    assert torch.equal(network.eval()(points)[0], network(points)[0])
