"""What the networks for servers compute: deterministic, row by row, exportable, the same as the published code."""

import pytest
import torch
from filled import fill, picture
from small_networks import SMALL, TWINS

from convert.export import export, flatten
from convert.program import Model
from edge.artifact import Source
from edge.zoo import MODELS
from edge.zoo._titok import Sizes, build_decoder
from edge.zoo._vit import TransformerBlock
from edge.zoo.kmax import _network, _Sizes

NAMES = sorted(set(SMALL) - set(TWINS))


# What the published code gives with the weights of `fill` in float64 (bytedance/kmax-deeplab at f8e1d04,
# bytedance/1d-tokenizer at 942a96f): mean, spread and four values of each output; of the picture only of the values
# strictly between 0 and 1, after their number.
KMAX = {
    "class_logits": (
        17.341690460840255,
        116.82354366156599,
        [-62.61597094532286, -61.9664132819322, -62.53461497010539, -62.06427150799865],
    ),
    "mask_logits": (
        1020.8409130262867,
        121.2459353222198,
        [997.1398573001585, 986.8479545809095, 995.8576733980924, 988.395280321264],
    ),
}
TITOK = (
    346,
    0.23288687075762723,
    0.2352901999869212,
    [0.007073367059434515, 0.22558657752258487, 0.01630196938966063, 0.006738941777371747],
)


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


@pytest.mark.slow
def test_kmax_computes_what_the_published_code_computes():
    sizes = _Sizes((1, 1, 1, 1), 8, (1, 2, 1, 1), (64, 32, 16, 8), (1, 1, 1), 16, 256, 6)
    network = fill(_network(sizes).double())
    with torch.no_grad():
        outputs = network(picture(3, 97, 97).double())
    for key, (mean, spread, values) in KMAX.items():
        flat = outputs[key].flatten()
        assert float(flat.mean()) == pytest.approx(mean, rel=1e-9)
        assert float(flat.std()) == pytest.approx(spread, rel=1e-9)
        assert flat[:: flat.numel() // 4][:4].tolist() == pytest.approx(values, rel=1e-9)


@pytest.mark.slow
def test_titok_computes_what_the_published_code_computes():
    sizes = Sizes(tokens=8, width=512, layers=8, heads=8, grid=2, pixel_depth=16, pixel_width=32)
    network = fill(build_decoder(sizes).double())
    tokens = torch.arange(8)[None] * 257 % 4096
    with torch.no_grad():
        image = network(tokens)["image"]
    inside = image[(image > 0) & (image < 1)]
    count, mean, spread, values = TITOK
    assert inside.numel() == count
    assert float(inside.mean()) == pytest.approx(mean, rel=1e-9)
    assert float(inside.std()) == pytest.approx(spread, rel=1e-9)
    assert inside[:: count // 4][:4].tolist() == pytest.approx(values, rel=1e-9)
