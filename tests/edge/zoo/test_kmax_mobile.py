"""The small kMaX-DeepLab: its size, the parts that it shares with the published one, k-means, export, training."""

import pytest
import torch
from macs import blank, macs

from convert.export import export, flatten
from convert.load import load
from convert.program import Model
from edge.artifact import Source
from edge.errors import MissingError
from edge.zoo import MODELS, device_models

NAME = "kmax-deeplab-mobile"


@pytest.fixture(scope="module")
def described():
    with torch.device("meta"):
        return MODELS[NAME].network().eval()


def test_it_is_small_and_meant_for_devices(described):
    parameters = sum(parameter.numel() for parameter in described.parameters())
    assert f"{parameters / 1e6:.1f} M parameters" in MODELS[NAME].summary
    assert macs(described, blank(1, 3, 256, 256)) < 1.5e9
    assert NAME in device_models()
    with pytest.raises(MissingError, match="was not published"):
        load(NAME)


def test_outputs_are_the_contracts(described):
    contract = MODELS[NAME].contract
    outputs = described(blank(*contract.inputs[0].shape))
    assert {name: tuple(tensor.shape) for name, tensor in outputs.items()} == {
        spec.name: spec.shape for spec in contract.outputs
    }
    assert contract.postprocess == MODELS["kmax-deeplab-r50"].contract.postprocess
    assert contract.labels == MODELS["kmax-deeplab-r50"].contract.labels


def test_decoder_and_queries_have_the_published_keys(described):
    def kinds(network):
        head = "sem_seg_head."
        return {"".join(c for c in key if not c.isdigit()) for key in network.state_dict() if key.startswith(head)}

    with torch.device("meta"):
        twin = MODELS["kmax-deeplab-r50"].network()
    assert kinds(described) == kinds(twin)


@pytest.mark.slow
def test_it_exports_and_every_part_is_trained():
    entry = MODELS[NAME]
    torch.manual_seed(0)
    network = entry.network()
    outputs = network.train()(torch.rand(2, 3, 64, 64))
    sum(tensor.square().mean() for tensor in outputs.values()).backward()
    unused = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    # The choice of a layer has no derivative; its masks and classes are trained by losses of their own.
    assert all("._kmax_transformer_layers." in name for name in unused)
    program = export(Model(entry.name, network.eval(), entry.contract, Source(sha256="")))
    image = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        expected, found = flatten(network(image)), program.exported.module()(image)
    for want, have in zip(expected, found, strict=True):
        torch.testing.assert_close(have, want, rtol=1e-4, atol=1e-4 * float(want.abs().max()))
