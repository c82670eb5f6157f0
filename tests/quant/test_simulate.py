"""Simulated quantization: torch's own numbers, cached runs equal to whole ones, and the fragile layer found."""

import numpy as np
import pytest
import torch
from torch import nn

from edge.errors import ContractError, Refused
from quant.layers import INPUT
from quant.observers import fake_quantize
from quant.sensitivity import measure, rank, trials
from quant.simulate import FLOAT, Simulator, quantized, round_weight


class Net(nn.Module):
    """A residual network with fused activations, a gate, a reshape and two outputs."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.third = nn.Conv2d(8, 8, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        a = torch.relu(self.first(x))
        b = torch.nn.functional.hardswish(self.second(a))
        c = a + self.third(b)
        return self.head(c.mean((2, 3))), self.up(c).reshape(1, -1)


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(1, 3, 12, 12, generator=generator),) for _ in range(3)]


def make(inputs, change=lambda net: None):
    torch.manual_seed(0)
    net = Net().eval()
    with torch.no_grad():
        change(net)
    return Simulator(torch.export.export(net, inputs[0]).module(check_guards=False), inputs), net


@pytest.fixture(scope="module")
def simulator(inputs):
    return make(inputs)[0]


def test_layers_are_what_gets_codes_of_its_own(simulator):
    assert [layer.op for layer in simulator.layers] == [
        INPUT, "aten.conv2d", "aten.conv2d", "aten.hardswish", "aten.conv2d", "aten.add.Tensor", "aten.mean.dim",
        "aten.linear", "aten.conv_transpose2d.input",
    ]  # fmt: skip
    first, last = simulator.layers[1], simulator.layers[-1]
    assert first.members == ("conv2d", "relu")
    assert first.output == "relu"
    assert last.members == ("conv_transpose2d", "reshape")
    assert last.output == "conv_transpose2d"
    assert last.channel_axis == 1
    assert not simulator.layers[0].keepable
    assert [layer.name for layer in simulator.readers(first)] == ["conv2d_1", "add"]


def test_without_rounding_it_is_the_eager_model(inputs):
    simulator, net = make(inputs)
    for given in inputs:
        with torch.no_grad():
            expected = net(*given)
        for got, want in zip(simulator.outputs(simulator.values(given)), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


def test_weights_round_as_torchs_own_fake_quantization(simulator):
    weight = torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    weight[2] = 0.0
    for axis in (0, 1):
        got = round_weight(weight, axis)
        other = [index for index in range(4) if index != axis]
        scale = weight.abs().amax(dim=other, keepdim=True) / 127
        steps = torch.where(scale > 0, got / scale, 0.0)
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)  # on the grid
        assert ((got - weight).abs() <= scale / 2 + 1e-6).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_activations_round_as_the_observers_say(simulator, inputs, bits):
    layer = simulator.layers[3]
    value = simulator.values(inputs[0])[layer.output]
    low, high = simulator.ranges[layer.name]
    got = simulator.round(layer, value, bits).numpy()
    step = (high - low) / ((1 << bits) - 1)
    expected = fake_quantize(value.numpy(), (low, high), bits)
    # Values in the middle between two codes may go either way in float32.
    assert np.abs(got - expected).max() <= step * 1.01
    assert (np.abs(got - expected) > step / 10).mean() < 0.01


@pytest.mark.parametrize("kept_bits", [None, 16])
def test_a_run_from_cached_values_equals_a_whole_one(simulator, inputs, kept_bits):
    layers = simulator.layers
    values = simulator.values(inputs[1])
    whole = quantized(layers)
    rounded = simulator.values(inputs[1], whole)
    for assignment in (
        FLOAT.only(layers[4], weights=True, output=True),
        FLOAT.only(layers[0], weights=False, output=True),
        whole.without(layers[0], weights=False, output=True),
        whole.without(layers[2], weights=True, output=True),
        quantized(layers, kept={layers[1].name, layers[2].name}, kept_bits=kept_bits),
    ):
        expected = simulator.outputs(simulator.values(inputs[1], assignment))
        for start, base in ((values, FLOAT), (rounded, whole)):
            for got, want in zip(simulator.run(start, base, assignment), expected, strict=True):
                assert torch.equal(got, want)


def test_a_kept_layer_reads_codes_of_its_neighbours_and_is_read_as_codes(simulator, inputs):
    """Keeping one layer saves its weights alone: what 8-bit neighbours read are still codes."""
    layer = simulator.layers[4]
    assignment = quantized(simulator.layers, kept={layer.name})
    assert layer.name not in assignment.weights
    assert layer.name not in assignment.outputs
    values = simulator.values(inputs[0], assignment)
    alone = simulator.values(inputs[0], quantized(simulator.layers))
    assert not torch.equal(values[layer.output], alone[layer.output])
    codes = simulator.round(layer, values[layer.output], 8)
    assert not torch.equal(codes, values[layer.output])


def score_none(outputs):
    return None


def sensitivities(simulator, inputs, mode):
    tried = trials(simulator.layers, mode)
    tallies = [measure(simulator, given, tried, mode, score_none) for given in inputs]
    return rank(tried, tallies, simulator.layers, ["head", "up"], mode, lambda rows: float(rows.mean()))


@pytest.mark.parametrize("mode", ["one", "leave-one-out"])
def test_the_planted_fragile_weights_rank_first(inputs, mode):
    def spoil(net):
        net.second.weight[0] = 0.0
        net.second.bias[0] = -3.5  # hardswish makes it 0
        net.third.weight[:, 0] = 1000.0  # so that these weights do nothing but coarsen the scale of the others

    simulator, _ = make(inputs, spoil)
    whole, rows = sensitivities(simulator, inputs, mode)
    assert rows[0].name == "conv2d_2"
    assert [row.rank for row in rows] == list(range(1, len(rows) + 1))
    assert whole.drop is None
    worse = rows[0].weights.worst_db < rows[0].activation.worst_db
    assert worse == (mode == "one")  # left out, the weights win more than the result


def test_the_planted_fragile_result_ranks_first(inputs):
    def spoil(net):
        net.second.bias[3] = 60.0  # a range that no value but this channel's needs
        net.third.weight[:, 3] = 0.0  # and nobody reads it

    _, rows = sensitivities(make(inputs, spoil)[0], inputs, "one")
    assert {rows[0].name, rows[1].name} == {"conv2d_1", "hardswish"}
    convolution = next(row for row in rows if row.name == "conv2d_1")
    assert convolution.weights.worst_db > convolution.activation.worst_db + 10


def test_sensitivity_is_deterministic(simulator, inputs):
    assert sensitivities(simulator, inputs, "one") == sensitivities(simulator, inputs, "one")


def test_the_metric_decides_before_the_outputs(simulator, inputs):
    """A layer that costs the metric ranks before one whose outputs are noisier."""
    tried = trials(simulator.layers, "one")
    quiet = len(tried) - 1
    target = tried[quiet].layer

    def score(outputs):
        calls = iter(range(len(tried)))
        hit = {i for i, t in enumerate(tried) if t.layer is target}
        return lambda got: np.array([0.5 if next(calls) in hit else 1.0])

    tallies = [measure(simulator, inputs[0], tried, "one", score)]
    _, rows = rank(tried, tallies, simulator.layers, ["a", "b"], "one", lambda rows: float(rows.mean()))
    assert rows[0].name == target.name
    assert rows[0].both.drop == 0.5


def test_bad_models_and_missing_pictures_are_said_in_one_line(inputs):
    def break_it(net):
        net.second.weight[0] = float("nan")

    with pytest.raises(ContractError, match="conv2d_1 .aten.conv2d. cannot be quantized: values are not finite"):
        make(inputs, break_it)
    with pytest.raises(Refused, match="no pictures to measure the range"):
        Simulator(torch.export.export(Net().eval(), inputs[0]).module(check_guards=False), [])


def test_values_that_saturate_need_no_codes(inputs):
    torch.manual_seed(0)
    exported = torch.export.export(Net().eval(), inputs[0]).module(check_guards=False)
    narrow = Simulator(
        exported, inputs, saturation=lambda node: (-0.25, None) if "hardswish" in str(node.target) else None
    )
    wide = Simulator(exported, inputs)
    before = next(layer for layer in wide.layers if layer.name == "conv2d_1").name
    assert wide.ranges[before][0] < -0.25 == narrow.ranges[before][0]
    assert all(narrow.ranges[name] == wide.ranges[name] for name in wide.ranges if name != before)
