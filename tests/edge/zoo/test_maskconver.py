"""MaskConver: the published counts, TensorFlow's own answers, loading with its codebook, export, training.

tests/golden/maskconver.json is written by scripts/record_maskconver.py, which runs the originals.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from macs import blank, macs
from tf_filled import differences, values, waves

from convert.export import export, flatten
from convert.load import load
from convert.program import Model
from edge.artifact import Source
from edge.codebooks import codebook
from edge.errors import CheckpointError, MissingError
from edge.zoo import MODELS
from edge.zoo._maskconver import MaskConver

FOUND = json.loads((Path(__file__).parents[2] / "golden" / "maskconver.json").read_text())
NAME = "maskconver-mobilenet"


@pytest.fixture(scope="module")
def described():
    with torch.device("meta"):
        return MaskConver().eval()


def test_parameters_and_operations_are_the_published_ones(described):
    """The published table: 3.4 M parameters; 1.5·10⁹ multiply-accumulates at 256² and 9.58·10⁹ at 640²."""
    assert sum(parameter.numel() for parameter in described.parameters()) == 3_441_897
    assert round(macs(described, blank(1, 3, 256, 256)) / 1e9, 1) == 1.5
    assert macs(described, blank(1, 3, 640, 640)) / 1e9 == pytest.approx(9.58, rel=0.001)


def test_outputs_are_the_contracts(described):
    contract = MODELS[NAME].contract
    outputs = described(blank(*contract.inputs[0].shape))
    assert [(name, tuple(tensor.shape)) for name, tensor in outputs.items()] == [
        (spec.name, spec.shape) for spec in contract.outputs
    ]
    assert described.mask_embedding.shape == (201 + 2 * 256 + 4, 256)


def test_from_the_stride_of_the_deep_features_on_it_is_dilated(described):
    found = [
        (block.depthwise[0].kernel_size[0], block.depthwise[0].stride[0], block.depthwise[0].dilation[0])
        for block in described.backbone.blocks
    ]
    assert found[11:] == [(3, 1, 1), (3, 1, 2), (5, 1, 2), (5, 1, 2), (5, 1, 2)]
    assert [stride for _, stride, _ in found].count(2) == 3


def filled(network):
    """Give the network the weights by the rule."""
    state = network.state_dict()
    norms = {key.rsplit(".", 1)[0] for key in state if key.endswith("running_var")}
    for key, tensor in state.items():
        if key == "mask_embedding" or not tensor.is_floating_point():
            continue
        layer, kind = key.rsplit(".", 1)
        if layer in norms:
            name = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean"}.get(kind, "moving_variance")
            tensor.copy_(torch.from_numpy(values(f"{layer}/{name}", tuple(tensor.shape))))
        elif kind == "bias":
            tensor.copy_(torch.from_numpy(values(f"{layer}/bias", tuple(tensor.shape))))
        elif tensor.shape[1] == 1:  # of every channel by itself; TensorFlow has (kH, kW, C, 1)
            shape = (*tensor.shape[2:], tensor.shape[0], 1)
            tensor.copy_(torch.from_numpy(values(f"{layer}/depthwise_kernel", shape)).permute(2, 3, 0, 1))
        else:
            shape = (*tensor.shape[2:], tensor.shape[1], tensor.shape[0])
            tensor.copy_(torch.from_numpy(values(f"{layer}/kernel", shape)).permute(3, 2, 0, 1))
    return network.eval()


@pytest.mark.parametrize("size", sorted(FOUND))
def test_it_computes_what_tensorflows_layers_compute(size):
    network = filled(MaskConver())
    height, width = map(int, size.split("x"))
    picture = torch.from_numpy(waves(1, height, width, 3)).permute(0, 3, 1, 2)
    with torch.no_grad():
        shallow, deep = network.backbone(picture)
        found = {"shallow": shallow, "deep": deep, "pyramid": network.pyramid(deep)}
        outputs = network(picture)
    names = ("class_heatmap", "centre_embeddings", "pixel_embeddings")
    found |= dict(zip(("class_head", "centre_head", "pixel_head"), map(outputs.get, names), strict=True))
    assert found.keys() == FOUND[size].keys()
    for name, tensor in found.items():
        assert max(differences(tensor.numpy(), FOUND[size][name])) < 1e-4, name


def test_weights_bring_the_decoders_codebook(tmp_path):
    torch.manual_seed(1)
    network = MODELS[NAME].network()
    torch.save(network.state_dict(), tmp_path / "own.pth")
    model = load(NAME, tmp_path / "own.pth")
    assert np.array_equal(codebook(model.contract.postprocess), network.mask_embedding.detach().numpy())
    state = {key: value for key, value in network.state_dict().items() if key != "mask_embedding"}
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(CheckpointError, match="1 missing \\(mask_embedding\\)"):
        load(NAME, tmp_path / "less.pth")
    with pytest.raises(MissingError, match="no weights were published"):
        load(NAME)


def test_a_batch_is_its_rows_and_it_trains():
    torch.manual_seed(0)
    network = MaskConver(classes=5, width=16)
    pictures = torch.rand(2, 3, 64, 96)
    outputs = network.train()(pictures)
    masks = network.masks(outputs, torch.tensor([[1, 2], [0, 4]]), torch.tensor([[3, 9], [0, 95]]))
    assert masks.shape == (2, 2, 8, 12)
    (masks.square().mean() + outputs["class_heatmap"].sum()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    with torch.no_grad():
        both, one = network.eval()(pictures), network(pictures[1:])
    for name, tensor in both.items():
        torch.testing.assert_close(tensor[1:], one[name], rtol=1e-4, atol=1e-5)


def test_it_exports():
    entry = MODELS[NAME]
    torch.manual_seed(0)
    network = entry.network().eval()
    program = export(Model(entry.name, network, entry.contract, Source(sha256="")))
    image = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        expected, found = flatten(network(image)), program.exported.module()(image)
    for want, have in zip(expected, found, strict=True):
        torch.testing.assert_close(have, want, rtol=1e-4, atol=1e-4 * float(want.abs().max()))


def test_before_training_one_place_in_ten_is_a_centre():
    network = MaskConver(classes=3, width=8)
    assert torch.sigmoid(network.class_head.predict.bias).tolist() == pytest.approx([0.1] * 3, abs=2e-3)
