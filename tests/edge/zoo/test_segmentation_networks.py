"""Convolutional segmentation: keys, shapes and outputs of the published code, and the published sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from filled import fill, picture
from torch import nn

from convert.load import load
from edge.errors import CheckpointError
from edge.zoo import MODELS
from edge.zoo._mobilenet_v2 import Backbone, residuals
from edge.zoo._panoptic_deeplab import ConvNorm, Predictor, instance_branch, semantic_branch

# Written by scripts/record_segmentation.py: what the original code has and answers.
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "segmentation_networks.json").read_text())
NETWORKS = sorted(set(GOLDEN) & set(MODELS))
HEADS = sorted(set(GOLDEN) - set(MODELS))
SIZES = {  # parameters, multiply-accumulates of the convolutions at the contract's input
    "deeplabv3-mobilenet-v2": (2_113_557, 2.741e9),
    "deeplabv3-mobilenet-v3-small": (6_131_172, 1.4302e9),
    "deeplabv3-plus-mobilenet-v2": (5_816_053, 27.07e9),
    "lraspp-mobilenet-v3-small": (1_077_954, 0.15908e9),
    "panoptic-deeplab-mobilenet-v3-large": (6_532_200, 13.888e9),
    "panoptic-deeplab-mobilenet-v3-small": (3_473_112, 10.495e9),
}


def described(build):
    """Build without memory for the weights."""
    with torch.device("meta"):
        return build()


def multiply_accumulates(network, shape):
    counts = []

    def count(module, inputs, output):
        counts.append(output[0].numel() * module.weight[0].numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    network.eval()(torch.empty(shape, device="meta"))
    return sum(counts)


def assert_samples(found, golden):
    assert list(found.shape) == golden["shape"]
    values = found.flatten()[:: golden["step"]]
    expected = torch.tensor(golden["values"])
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-4 * golden["max"])


def head_of(name):
    """Return a head in detectron2's own form, whose centres have two stacked convolutions before them."""
    if name.endswith("semantic"):
        return Predictor((72, 120, 960), semantic_branch(133))
    stacked = lambda wide, out: nn.Sequential(ConvNorm(wide, wide, 3), ConvNorm(wide, out, 3))  # noqa: E731
    return Predictor((72, 120, 960), instance_branch(center_=stacked))


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_every_key_and_shape_is_the_published_one(name):
    network = described(MODELS[name].network if name in MODELS else lambda: head_of(name))
    found = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    assert found == GOLDEN[name]["keys"]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * ("plus" in n)) for n in NETWORKS])
def test_a_network_computes_what_the_published_code_computes(name):
    with torch.no_grad():
        outputs = fill(MODELS[name].network())(picture(3, 97, 129))
    assert list(outputs) == ["out"]
    assert_samples(outputs["out"], GOLDEN[name]["outputs"]["out"])


@pytest.mark.parametrize("name", HEADS)
def test_a_head_computes_what_the_published_code_computes(name):
    features = tuple(picture(count, 48 // s, 64 // s) for count, s in zip((72, 120, 960), (1, 2, 4), strict=True))
    with torch.no_grad():
        outputs = fill(head_of(name))(features)
    assert sorted(outputs) == sorted(GOLDEN[name]["outputs"])
    for key, tensor in outputs.items():
        assert_samples(tensor, GOLDEN[name]["outputs"][key])


@pytest.mark.parametrize("name", sorted(SIZES))
def test_parameters_and_multiply_accumulates(name):
    network = described(MODELS[name].network)
    parameters, macs = SIZES[name]
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert multiply_accumulates(network, MODELS[name].contract.inputs[0].shape) == pytest.approx(macs, rel=1e-3)


def test_deeplabs_on_mobilenet_v2_have_the_published_sizes():
    # TensorFlow's model zoo: 2.75 B; counted in its TFLite file: 2.74 G and 2.08 M weights, without the folded biases.
    network = described(MODELS["deeplabv3-mobilenet-v2"].network)
    weights = sum(module.weight.numel() for module in network.modules() if isinstance(module, nn.Conv2d))
    assert weights == pytest.approx(2.08e6, rel=1e-3)
    assert multiply_accumulates(network, (1, 3, 513, 513)) == pytest.approx(2.745e9, rel=0.01)
    plus = described(MODELS["deeplabv3-plus-mobilenet-v2"].network)
    assert sum(parameter.numel() for parameter in plus.parameters()) == pytest.approx(5.80e6, rel=0.01)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_outputs_have_the_contracts_shapes(name):
    contract = MODELS[name].contract
    network = described(MODELS[name].network).eval()
    outputs = network(torch.empty(contract.inputs[0].shape, device="meta"))
    assert [tuple(tensor.shape) for tensor in outputs.values()] == [spec.shape for spec in contract.outputs]
    if contract.task == "panoptic":
        assert list(outputs) == [spec.name for spec in contract.outputs]


@pytest.mark.parametrize(("stride", "expected"), [(32, [1, 1, 1, 1]), (16, [1, 2, 2, 2]), (8, [2, 4, 4, 4])])
def test_strides_of_mobilenet_v2_become_dilation(stride, expected):
    found = residuals(stride)
    assert [residual.dilation for residual in found[-4:]] == expected
    assert 2 * 2 ** sum(residual.stride == 2 for residual in found) == stride
    low, deep = described(lambda: Backbone(stride))(torch.empty(1, 3, 64, 96, device="meta"))
    assert tuple(low.shape) == (1, 24, 16, 24)
    assert tuple(deep.shape) == (1, 320, 64 // stride, 96 // stride)


def test_a_checkpoint_of_deeplab_plus_loads_without_the_second_names(tmp_path):
    torch.manual_seed(3)
    state = MODELS["deeplabv3-plus-mobilenet-v2"].network().state_dict()
    doubled = dict(state)
    for key, tensor in state.items():
        if key.startswith("backbone.features."):
            index = int(key.split(".")[2])
            half = "low" if index < 4 else "high"
            doubled[key.replace("features", f"{half}_level_features", 1)] = tensor
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9).state_dict()
    run = {"epoch": 5, "state_dict": doubled, "optimizer": optimizer, "best_pred": np.float64(0.7)}
    torch.save(run, tmp_path / "checkpoint.pth.tar")
    model = load("deeplabv3-plus-mobilenet-v2", tmp_path / "checkpoint.pth.tar")
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.module.state_dict().items())
    assert "without backbone.low_level_features., backbone.high_level_features." in model.source.origin


def test_a_checkpoint_of_other_classes_says_which_tensors_differ(tmp_path):
    state = MODELS["lraspp-mobilenet-v3-small"].network().state_dict()
    for part in ("weight", "bias"):
        key = f"classifier.low_classifier.{part}"
        state[key] = torch.cat([state[key]] * 2)
    torch.save(state, tmp_path / "cityscapes.pth")
    with pytest.raises(CheckpointError, match=r"2 mis-shaped \(classifier.low_classifier.weight is \[42, 24, 1, 1\]"):
        load("lraspp-mobilenet-v3-small", tmp_path / "cityscapes.pth")


@pytest.mark.parametrize("name", ["panoptic-deeplab-mobilenet-v3-small", "lraspp-mobilenet-v3-small"])
def test_a_batch_is_its_rows_and_gradients_reach_every_weight(name):
    torch.manual_seed(0)
    network = MODELS[name].network().train()
    pictures = torch.rand(2, 3, 64, 64)
    sum(output.square().mean() for output in network(pictures).values()).backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []
    with torch.no_grad():
        both, first = network.eval()(pictures), network(pictures[:1])
    for key, tensor in both.items():
        torch.testing.assert_close(tensor[:1], first[key], rtol=1e-4, atol=1e-5)
