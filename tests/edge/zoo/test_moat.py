"""tiny-MOAT against the published TensorFlow network: variables, parameters, multiply-accumulates, answers, errors.

tests/golden/moat*.json are written by scripts/record_moat.py, which runs the original.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from macs import blank, macs
from tf_filled import differences, values, waves

from convert.checkpoint import read_checkpoint
from convert.export import export, flatten
from convert.load import load
from convert.program import Model
from edge.artifact import Source
from edge.contract import Contract, TensorSpec
from edge.errors import CheckpointError, MissingError
from edge.zoo import MODELS
from edge.zoo._moat import MOAT, POSITIONS, TINY, Sizes
from edge.zoo._moat_tf import from_tensorflow, moat_key
from edge.zoo._same import SameConv2d, same_average, same_padding
from edge.zoo.moat import _network

GOLDEN = Path(__file__).parents[2] / "golden"
FOUND = json.loads((GOLDEN / "moat.json").read_text())
VARIABLES = json.loads((GOLDEN / "moat_variables.json").read_text())
PUBLISHED = {  # parameters, as deeplab2's own test states them with and without position embedding; 10⁹ operations
    0: (3_355_348, 3_332_232, 1.1),
    1: (5_122_895, 5_094_000, 1.6),
    2: (9_772_741, 9_732_288, 3.0),
    3: (19_534_390, 19_476_600, 6.0),
}
CLASSES = 1000


def key(number, positions):
    return f"tiny-moat-{number}{'' if positions else '-no-positions'}"


def backbone(number, positions):
    return MOAT(Sizes(TINY[number], positions=POSITIONS if positions else None)).eval()


def variables(number, positions):
    """Return the published variables, filled by the rule."""
    names = VARIABLES[key(number, True)]
    return {
        name: torch.from_numpy(values(name, shape))
        for name, shape in names.items()
        if positions or not name.endswith("relative_position_embedding")
    }


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("number", sorted(TINY))
def test_parameters_and_operations_are_the_published_ones(number, positions):
    with torch.device("meta"):
        network = backbone(number, positions)
    deep = TINY[number][-1]
    classifier = 2 * deep + CLASSES * (deep + 1)  # a layer norm and the logits, which the backbone does without
    parameters = sum(parameter.numel() for parameter in network.parameters()) + classifier
    with_positions, without, billions = PUBLISHED[number]
    assert parameters == (with_positions if positions else without) == FOUND[key(number, positions)]["parameters"]
    counted = FOUND[key(number, positions)]["macs"]
    assert macs(network, blank(1, 3, 256, 256)) + CLASSES * deep == sum(counted.values())
    # The published number is half of what TensorFlow's profiler counts, with sums, norms and pools, and the products of
    # attention, for which deeplab2 tells the profiler the rule.
    assert round((FOUND[key(number, positions)]["profiled"] + counted["Einsum"]) / 1e9, 1) == billions
    assert sum(counted.values()) / 1e9 == pytest.approx(billions, rel=0.06)


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("number", sorted(TINY))
def test_every_variable_has_a_key_and_every_key_a_variable(number, positions):
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in backbone(number, positions).state_dict().items()}
    names = {
        name: torch.zeros(shape)
        for name, shape in VARIABLES[key(number, True)].items()
        if positions or not name.endswith("relative_position_embedding")
    }
    found = {name: tuple(tensor.shape) for name, tensor in from_tensorflow(names).items()}
    assert found == wanted
    left_out = [name for name in names if moat_key(name) not in wanted]
    assert sorted(left_out) == sorted(name for name in names if "final_layer_norm" in name or "logits_head" in name)


@pytest.mark.parametrize("size", ["96x64", "256x256"])
@pytest.mark.parametrize("positions", [True, False])
def test_it_computes_what_the_published_network_computes(positions, size):
    network = backbone(0, positions)
    network.load_state_dict(from_tensorflow(variables(0, positions)))
    height, width = map(int, size.split("x"))
    picture = torch.from_numpy(waves(1, height, width, 3)).permute(0, 3, 1, 2)
    with torch.no_grad():
        features = network(picture)
    expected = FOUND[key(0, positions)]["answers"][size]
    for tensor, (name, want) in zip(features, expected.items(), strict=True):
        assert max(differences(tensor.numpy(), want)) < 1e-4, name


def test_position_embeddings_change_the_answer():
    network = backbone(0, True)
    network.load_state_dict(from_tensorflow(variables(0, True)))
    with torch.no_grad():
        before = network(torch.ones(1, 3, 64, 64))[-1]
        network.stages[3][1].attention.relative_position_embedding.mul_(-1)
        after = network(torch.ones(1, 3, 64, 64))[-1]
    assert not torch.allclose(before, after)


def test_a_checkpoint_as_arrays(tmp_path):
    names = variables(0, False)
    extra = {
        "global_step": torch.zeros((), dtype=torch.int64),
        "moat/stem/conv_0/bias/ExponentialMovingAverage": names["moat/stem/conv_0/bias"] + 1,
    }
    np.savez(tmp_path / "moat.npz", **{name: tensor.numpy() for name, tensor in (names | extra).items()})
    state = from_tensorflow(read_checkpoint(tmp_path / "moat.npz"))
    assert torch.equal(state["stem.conv_0.bias"], names["moat/stem/conv_0/bias"])
    network = _network(0)
    network.backbone.load_state_dict(state)
    assert torch.equal(
        network.backbone.stages[0][0].depthwise_conv.weight[:, 0],
        names["moat/block_00_00/depthwise_conv/depthwise_kernel"].permute(2, 3, 0, 1)[:, 0],
    )


def test_a_backbone_alone_is_no_segmenter(tmp_path):
    np.savez(tmp_path / "moat.npz", **{name: tensor.numpy() for name, tensor in variables(0, False).items()})
    with pytest.raises(CheckpointError, match="pyramid") as caught:
        load("deeplabv3plus-tiny-moat-0", tmp_path / "moat.npz")
    assert "moat/" not in str(caught.value)


def test_other_state_dicts_stay_and_strange_variables_are_left_for_the_loader():
    state = {"backbone.stem.conv_0.bias": torch.zeros(3)}
    assert from_tensorflow(state) == state
    strange = {"moat/tail/kernel": torch.zeros(3)}
    assert from_tensorflow(strange) == strange


@pytest.mark.parametrize("number", sorted(TINY))
def test_the_segmenters(number):
    name = f"deeplabv3plus-tiny-moat-{number}"
    entry = MODELS[name]
    assert entry.contract.task == "segmentation"
    assert entry.contract.outputs[0].shape == (1, 21, 256, 256)
    with torch.device("meta"):
        network = entry.network().eval()
    outputs = network(blank(1, 3, 256, 256))
    assert {key: tuple(tensor.shape) for key, tensor in outputs.items()} == {"out": (1, 21, 256, 256)}
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert f"{millions:.1f} M parameters" in entry.summary
    assert all("relative_position" not in key for key in network.state_dict())
    with pytest.raises(MissingError, match=f"tiny_moat{number}_imagenet_1k_256_wo_position_embedding"):
        load(name)


@pytest.mark.parametrize("positions", [True, False])
def test_a_small_one_trains_and_exports(positions):
    from edge.zoo._moat_deeplab import MOATDeepLab

    torch.manual_seed(0)
    network = MOATDeepLab(Sizes((32, 32, 32, 64), (1, 1, 1, 1), POSITIONS if positions else None), 5, 16)
    picture = torch.rand(2, 3, 64, 96)
    network.train()(picture)["out"].square().mean().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    network.eval()
    contract = Contract(inputs=(TensorSpec(name="image", shape=(1, 3, 64, 96), layout="NCHW"),))
    program = export(Model("small", network, contract, Source(sha256="")))
    with torch.no_grad():
        [expected], [found] = flatten(network(picture[:1])), program.exported.module()(picture[:1])
        both = network(picture)["out"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both[:1], expected, rtol=1e-4, atol=1e-5)
    assert expected.shape == (1, 5, 64, 96)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (8, 5, 2), (9, 2, 2), (8, 2, 2), (5, 3, 1)]
)
def test_padding_is_tensorflows(size, kernel, stride):
    before, after = same_padding(size, kernel, stride)
    assert after - before in (0, 1)
    assert (size + before + after - kernel) // stride + 1 == -(-size // stride)
    x = torch.rand(1, 2, size, size)
    convolution = SameConv2d(2, 3, kernel, stride=stride)
    assert convolution(x).shape[-2:] == (-(-size // stride),) * 2
    found = same_average(x, kernel, stride)
    for row in range(found.shape[2]):  # the plain mean over what is inside
        for column in range(found.shape[3]):
            top, left = (max(0, place * stride - before) for place in (row, column))
            bottom, right = (place * stride - before + kernel for place in (row, column))
            torch.testing.assert_close(found[..., row, column], x[..., top:bottom, left:right].mean((2, 3)))
