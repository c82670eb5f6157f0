"""The networks' state dicts against the names and shapes of torchvision's published checkpoints."""

import json
from pathlib import Path

import pytest
import torch

from edge.zoo import MODELS

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "torchvision_segmentation_keys.json").read_text())
PUBLISHED = {  # tensors in the file, parameters in the network (torchvision's model cards)
    "lraspp-mobilenet-v3-large": (319, 3_221_538),
    "deeplabv3-mobilenet-v3-large": (360, 11_029_328),
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_every_key_and_shape_is_the_published_one(name):
    with torch.device("meta"):
        network = MODELS[name].network()
    found = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    assert found == GOLDEN[name]
    tensors, parameters = PUBLISHED[name]
    assert len(found) == tensors
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_any_picture_size_gives_logits_of_that_size(name):
    network = MODELS[name].network().eval()
    with torch.no_grad():
        outputs = network(torch.rand(1, 3, 33, 49))
    assert list(outputs) == ["out"]  # the auxiliary classifier answers in training only
    assert outputs["out"].shape == (1, 21, 33, 49)


@pytest.mark.slow
def test_training_brings_the_auxiliary_logits():
    network = MODELS["deeplabv3-mobilenet-v3-large"].network().train()
    outputs = network(torch.rand(2, 3, 32, 32))
    assert {name: tuple(tensor.shape) for name, tensor in outputs.items()} == {
        "out": (2, 21, 32, 32),
        "aux": (2, 21, 32, 32),
    }
    sum(tensor.sum() for tensor in outputs.values()).backward()
    unused = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert unused == []


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_contract(name):
    contract = MODELS[name].contract
    assert [spec.name for spec in (*contract.inputs, *contract.outputs)] == ["image", "logits"]
    assert contract.outputs[0].shape[1] == len(contract.labels) == 21
    assert contract.labels[15] == "person"
    assert MODELS[name].checkpoint_hint.endswith(".pth")
