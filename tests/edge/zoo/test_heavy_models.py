"""The networks for servers: published keys and parameters, and checkpoints that load, or say why not."""

import dataclasses
import functools

import pytest
import torch
from published_keys import kmax_deeplab_r50, titok_decoder, torchvision_deeplabv3_resnet101
from safetensors.torch import save_file
from small_networks import SMALL

from convert.load import load
from edge.errors import CheckpointError, MissingError
from edge.zoo import MODELS, device_models

PUBLISHED = {  # the keys, and the parameters: torchvision's card, the paper's table of 57 M, counts of the repository
    "deeplabv3-resnet101": (torchvision_deeplabv3_resnet101(), 60_996_202),
    "kmax-deeplab-r50": (kmax_deeplab_r50(), 56_580_120),
    "titok-s128-decoder": (titok_decoder(128, 512, 8), 49_152 + 262_144 + 27_000_832 + 30_478_339),
    "titok-b64-decoder": (titok_decoder(64, 768, 12), 49_152 + 262_144 + 88_070_656 + 30_478_339),
    "titok-l32-decoder": (titok_decoder(32, 1024, 24), 49_152 + 262_144 + 306_822_144 + 30_478_339),
}
UNUSED = {
    "kmax-deeplab-r50": "sem_seg_head.predictor._auxiliary_semantic_predictor.final_conv.conv.bias",
    "titok-s128-decoder": "encoder.ln_pre.weight",
    "titok-l32-decoder": "latent_tokens",
}


@pytest.fixture
def small(monkeypatch):
    """Put a small network in the place of a full one in the registry and return it with weights of its own."""

    def shrink(name):
        build, _ = SMALL[name]
        monkeypatch.setitem(MODELS._entries, name, dataclasses.replace(MODELS[name], network=build))
        torch.manual_seed(1)
        return build().eval()

    return shrink


@functools.cache
def described(build):
    """Build without memory for the weights."""
    with torch.device("meta"):
        return build()


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_key_and_shape_is_the_published_one(name):
    rules, parameters = PUBLISHED[name]
    network = described(MODELS[name].network)
    expected = list(rules)
    found = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert found == dict(expected)
    assert len(expected) == len(found)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


NARROWER = {"maskbit-tokenizer-18bit-decoder"}  # its number of layers is no setting


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_small_variant_has_the_same_keys(name):
    full, small = (set(described(build).state_dict()) for build in (MODELS[name].network, SMALL[name][0]))
    assert small == full if name in NARROWER else small < full
    kinds = [{"".join(c for c in key if not c.isdigit()) for key in keys} for keys in (full, small)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(
    ("name", "wrapper"),
    [
        ("deeplabv3-resnet101", ""),
        ("kmax-deeplab-r50", "model"),
        ("titok-s128-decoder", ""),
        ("titok-l32-decoder", "state_dict"),
    ],
)
def test_a_checkpoint_loads_key_for_key(small, tmp_path, name, wrapper):
    state = small(name).state_dict()
    rest = {UNUSED[name]: torch.zeros(3)} if name in UNUSED else {}
    path = tmp_path / "weights.pth"
    torch.save({wrapper: {**state, **rest}, "iteration": 3} if wrapper else {**state, **rest}, path)
    model = load(name, path)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.module.state_dict().items())
    assert model.source.licence == MODELS[name].licence
    assert (f"{wrapper} taken off" in model.source.origin) == bool(wrapper)
    assert ("without" in model.source.origin) == bool(rest)


def test_safetensors_of_a_whole_tokenizer(small, tmp_path):
    state = small("titok-l32-decoder").state_dict()
    save_file(
        {**state, "encoder.ln_pre.bias": torch.zeros(3), "latent_tokens": torch.zeros(8, 3)}, tmp_path / "m.safetensors"
    )
    model = load("titok-l32-decoder", tmp_path / "m.safetensors")
    assert model.source.origin == "m.safetensors, without encoder., latent_tokens"


@pytest.mark.parametrize("name", ["deeplabv3-resnet101", "kmax-deeplab-r50", "titok-s128-decoder"])
def test_missing_and_unexpected_keys_are_errors(small, tmp_path, monkeypatch, name):
    state = dict(small(name).state_dict())
    gone = next(iter(state))
    del state[gone]
    torch.save({**state, "pixel_mean": torch.zeros(3)}, tmp_path / "weights.pth")
    monkeypatch.setattr("convert.checkpoint._matching_model", lambda state: "")  # builds every network; not the point
    with pytest.raises(CheckpointError) as caught:
        load(name, tmp_path / "weights.pth")
    assert f"1 missing ({gone})" in str(caught.value)
    assert "1 unexpected (pixel_mean)" in str(caught.value)


def test_a_whole_tokenizers_file_names_the_model_that_it_fits(small, tmp_path):
    state = {**small("titok-s128-decoder").state_dict(), "encoder.ln_pre.bias": torch.zeros(3)}
    torch.save(state, tmp_path / "titok.pth")
    with pytest.raises(CheckpointError, match="it fits titok-s128-decoder"):
        load("lraspp-mobilenet-v3-large", tmp_path / "titok.pth")


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_it_is_meant_for_a_server_and_says_where_weights_are(name):
    assert MODELS[name].runs == "server"
    assert name not in device_models()
    assert "blazepose-heavy" in device_models()
    with pytest.raises(MissingError, match=r"\.(pth|safetensors)"):
        load(name)
    assert ("research" in MODELS[name].licence) == name.startswith("titok")


def test_the_atrous_rates_and_strides_of_the_residual_network():
    backbone = described(MODELS["deeplabv3-resnet101"].network).backbone
    found = {
        stage: [(block.conv2.stride[0], block.conv2.dilation[0]) for block in getattr(backbone, stage)][:3]
        for stage in ("layer1", "layer2", "layer3", "layer4")
    }
    assert found == {
        "layer1": [(1, 1)] * 3,
        "layer2": [(2, 1), (1, 1), (1, 1)],
        "layer3": [(1, 1), (1, 2), (1, 2)],
        "layer4": [(1, 2), (1, 4), (1, 4)],
    }
