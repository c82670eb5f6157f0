"""The student: computes what the model computes, rounds where artifacts round, and keeps the model's keys."""

import copy

import pytest
import torch
from torch import nn
from training_models import Net, contract

from convert.export import export
from convert.load import load
from convert.program import Model
from edge.artifact import Source
from edge.errors import ContractError, Refused
from edge.train.qat import PREFIX, KitQuantizer, copy_weights, make_pair, measure_ranges
from edge.train.rounding import activations, set_phase
from quant.precision import PRECISIONS
from quant.scheme import CHANNELS_8, Scheme

INT8 = PRECISIONS["int8"].scheme


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


def pair_of(net):
    return make_pair(export(Model("net", net, contract(), Source(sha256=""))), KitQuantizer(INT8))


def inputs(count=4):
    generator = torch.Generator().manual_seed(3)
    return [(torch.rand(1, 3, 16, 16, generator=generator),) for _ in range(count)]


def test_teacher_and_unrounded_student_answer_as_the_eager_model(net):
    pair = pair_of(net)
    for tensors in inputs():
        with torch.no_grad():
            expected, teacher, student = net(*tensors), pair.teacher(*tensors), pair.student(*tensors)
        for wanted, *found in zip(expected, teacher, student, strict=True):
            assert all(torch.allclose(wanted, value, atol=1e-5) for value in found)


def test_every_weight_of_the_model_takes_a_gradient_and_no_norm_moves(net):
    pair = pair_of(net)
    measure_ranges(pair.student, inputs())
    set_phase(pair.student, "follow")
    sum(value.square().sum() for value in pair.student(*inputs(1)[0])).backward()
    found = {name.removeprefix(PREFIX) for name, weight in pair.student.named_parameters() if weight.grad is not None}
    assert found == {name for name, _ in net.named_parameters()}
    assert all(bool(weight.grad.abs().sum() > 0) for weight in pair.student.parameters())
    assert not any(weight.requires_grad for weight in pair.teacher.parameters())
    before = dict(net.named_buffers())
    buffers = {name.removeprefix(PREFIX): value for name, value in pair.student.named_buffers()}
    assert all(torch.equal(value, buffers[name]) for name, value in before.items() if name in buffers)


def test_rounding_sits_where_artifacts_round(net):
    pair = pair_of(net)
    rounded = {
        str(node.args[0].target).split(".")[1]
        for node in pair.student.graph.nodes
        if node.op == "call_module"
        and str(node.target) in activations(pair.student)
        and node.args[0].op != "placeholder"
    }
    assert rounded == {"conv2d", "hardswish", "relu", "add", "mul", "conv_transpose2d", "sigmoid", "mean"}
    operators = [str(node.target) for node in pair.student.graph.nodes]
    assert "aten.batch_norm.default" not in operators
    assert operators.count("aten.conv2d.default") == 3  # of the sum's norm, which no convolution comes before, too
    relu = next(node for node in pair.student.graph.nodes if str(node.target) == "aten.relu.default")
    assert str(relu.args[0].target) == "aten.conv2d.default"  # fused: nothing is rounded in between
    # Convolution → hardswish is rounded over what hardswish does not cut off.
    [swish] = [node for node in pair.student.graph.nodes if str(node.target) == "aten.hardswish.default"]
    rounding = activations(pair.student)[str(swish.args[0].target)]
    set_phase(pair.student, "measure")
    rounding(torch.tensor([-50.0, 2.0]))
    assert (float(rounding.low), float(rounding.high)) == (-3.0, 2.0)


def test_the_simulated_error_is_that_of_eight_bits(net):
    pair = pair_of(net)
    measure_ranges(pair.student, inputs())
    with torch.no_grad():
        errors = [
            float((a - b).abs().max()) for a, b in zip(net(*inputs()[0]), pair.student(*inputs()[0]), strict=True)
        ]
    assert 1e-4 < max(errors) < 0.1


def test_trained_weights_go_back_under_the_models_keys(net):
    before = copy.deepcopy(net.state_dict())
    pair = pair_of(net)
    with torch.no_grad():
        for weight in pair.student.parameters():
            weight.add_(0.5)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())  # the model is its own
    assert copy_weights(pair.student, net) == sum(weight.numel() for weight in net.parameters())
    for name, value in net.state_dict().items():
        trained = name in dict(net.named_parameters())
        assert torch.equal(value, before[name] + 0.5 if trained else before[name]), name


def test_an_activation_that_is_not_finite_is_named(net):
    net.scale = 1e30
    with pytest.raises(ContractError, match=r"the activation mul\w* holds NaN or infinity"):
        measure_ranges(pair_of(net).student, inputs())


def test_what_cannot_be_trained_is_refused(net):
    class Fixed(nn.Module):
        def forward(self, image):
            return image * 2

    with pytest.raises(Refused, match="has no weights to train"):
        pair_of(Fixed())
    program = export(Model("net", net, contract(), Source(sha256="")))
    with pytest.raises(Refused, match="asymmetric activations"):
        make_pair(program, KitQuantizer(Scheme(weights=CHANNELS_8)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["selfie-segmentation", "blazepose-detector", "blazepose-lite"])
def test_imported_models_have_students_too(name):
    model = load(name)
    program = export(model)
    pair = make_pair(program, KitQuantizer(INT8))
    shape = model.contract.inputs[0].shape
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = pair.teacher(image), pair.student(image)
        eager = model.module(image)
    eager = (eager,) if isinstance(eager, torch.Tensor) else eager
    for wanted, *others in zip(eager, expected, found, strict=True):
        scale = float(wanted.abs().max())
        assert all(float((wanted - other).abs().max()) <= 1e-4 * scale for other in others)
    assert copy_weights(pair.student, model.module) == sum(weight.numel() for weight in model.module.parameters())
