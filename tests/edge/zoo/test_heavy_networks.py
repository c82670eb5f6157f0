"""What the networks for servers compute: deterministic, row by row, exportable, the same as the published code."""

import json
from pathlib import Path

import pytest
import torch
from filled import fill, picture
from small_networks import SMALL, TWINS

from convert.export import export, flatten
from convert.program import Model
from edge.artifact import Source
from edge.zoo import MODELS
from edge.zoo._vit import TransformerBlock
from edge.zoo.kmax import _network, _Sizes

NAMES = sorted(set(SMALL) - set(TWINS))


# What the published code gives with the weights of `fill` in float64: scripts/record_kmax.py
KMAX = json.loads((Path(__file__).parents[2] / "golden" / "kmax.json").read_text())


def rows(contract):
    spec = contract.inputs[0]
    generator = torch.Generator().manual_seed(0)
    if spec.dtype == "int32":
        return torch.randint(0, 64, (2, *spec.shape[1:]), generator=generator, dtype=torch.int32)
    return torch.rand(2, *spec.shape[1:], generator=generator)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * n.startswith("kmax")) for n in NAMES])
def test_a_batch_is_its_rows_and_twice_is_the_same(name):
    network, contract = fill(SMALL[name][0]()).double(), SMALL[name][1]
    both = rows(contract)
    both = both.double() if both.is_floating_point() else both
    with torch.no_grad():
        outputs, again = network(both), network(both)
        singles = [network(row[None]) for row in both]
    for key, tensor in outputs.items():
        assert torch.isfinite(tensor).all()
        assert torch.equal(tensor, again[key])
        assert not tensor.is_floating_point() or not torch.equal(tensor[0], tensor[1])  # pictures may share their ids
        joined = torch.cat([single[key] for single in singles])
        torch.testing.assert_close(tensor, joined, rtol=1e-9, atol=1e-9 * float(tensor.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_exports_and_the_program_answers_alike(name):
    network, contract = fill(SMALL[name][0]()), SMALL[name][1]
    program = export(Model(name, network, contract, Source(sha256="")))
    row = rows(contract)[:1]
    with torch.no_grad():
        expected, found = flatten(network(row)), program.exported.module()(row)
    for want, have in zip(expected, found, strict=True):
        torch.testing.assert_close(have, want, rtol=1e-4, atol=1e-4 * float(want.abs().max()))


def test_outputs_have_the_contracts_shapes_in_proportion():
    contract = MODELS["kmax-deeplab-r50"].contract
    assert contract.inputs[0].shape == (1, 3, 1281, 1281)
    assert [spec.shape for spec in contract.outputs] == [(1, 128, 134), (1, 128, 321, 321)]
    with torch.no_grad():
        outputs = SMALL["kmax-deeplab-r50"][0]().eval()(torch.zeros(1, 3, 65, 97))
    assert [tuple(tensor.shape) for tensor in outputs.values()] == [(1, 10, 7), (1, 10, 17, 25)]


def test_tokens_beyond_the_codebook_are_its_ends():
    network = fill(SMALL["titok-s128-decoder"][0]())
    with torch.no_grad():
        ends = network(torch.tensor([[0, 63] * 4], dtype=torch.int32))["image"]
        beyond = network(torch.tensor([[-5, 99999] * 4], dtype=torch.int32))["image"]
    assert torch.equal(ends, beyond)
    assert float(ends.min()) >= 0
    assert float(ends.max()) <= 1


def test_attention_is_torchs_multi_head_attention():
    block, other = TransformerBlock(24, 3), torch.nn.MultiheadAttention(24, 3, batch_first=True)
    other.load_state_dict(block.attn.state_dict())
    x = torch.rand(2, 5, 24)
    torch.testing.assert_close(block.attn(x), other(x, x, x, need_weights=False)[0])


def small_kmax():
    return fill(_network(_Sizes((1, 1, 1, 1), 8, (1, 2, 1, 1), (64, 32, 16, 8), (1, 1, 1), 16, 256, 6)).double())


def test_kmax_has_the_published_keys():
    assert {key: list(value.shape) for key, value in small_kmax().state_dict().items()} == KMAX["keys"]


@pytest.mark.slow
def test_kmax_computes_what_the_published_code_computes():
    with torch.no_grad():
        outputs = small_kmax()(picture(3, 97, 97).double())
    assert list(outputs) == list(KMAX["outputs"])
    for key, golden in KMAX["outputs"].items():
        assert list(outputs[key].shape) == golden["shape"]
        values = torch.tensor(golden["values"], dtype=torch.float64)
        torch.testing.assert_close(outputs[key].flatten()[:: golden["step"]], values, rtol=1e-9, atol=0.0)
