"""The loss: 0 for equal answers, more for worse ones, and weighted by what a task reads."""

import msgspec
import pytest
import torch

from edge.contract import Contract, Postprocess, TensorSpec
from edge.errors import ContractError
from edge.train.losses import distillation
from edge.zoo import MODELS


def answers(contract, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(spec.shape, generator=generator) for spec in contract.outputs]


@pytest.mark.parametrize(
    "name", ["selfie-segmentation", "lraspp-mobilenet-v3-large", "blazepose-detector", "blazepose-lite"]
)
def test_equal_answers_cost_nothing_and_worse_ones_more(name):
    contract = MODELS[name].contract
    teacher = answers(contract)
    loss = distillation(contract, [teacher])
    assert float(loss(teacher, teacher)) == pytest.approx(0.0, abs=1e-6)
    noise = [torch.rand_like(value, requires_grad=True) for value in teacher]

    def away(distance):
        return float(loss([t + distance * (n.detach() - 0.5) for t, n in zip(teacher, noise, strict=True)], teacher))

    near, far = away(0.1), away(0.5)
    assert 0 < near < far
    loss(noise, teacher).backward()
    assert all(bool(value.grad.isfinite().all()) and bool(value.grad.abs().sum() > 0) for value in noise)
    assert set(loss.parts(noise, teacher)) == {spec.name for spec in contract.outputs}


def test_a_detectors_boxes_count_where_it_sees_something():
    contract = MODELS["blazepose-detector"].contract
    boxes, scores = torch.ones(1, 2254, 12), torch.full((1, 2254, 1), -10.0)
    scores[0, 7] = 10.0
    loss = distillation(contract, [[boxes, scores]])

    def moved(place):
        changed = boxes.clone()
        changed[0, place] += 1.0
        return float(loss.parts([changed, scores], [boxes, scores])["boxes"])

    assert moved(7) > 50 * moved(8)


def test_choices_alone_teach_nothing():
    spec = TensorSpec(name="labels", shape=(1, 4, 4), dtype="int64")
    contract = Contract(inputs=(TensorSpec(name="x", shape=(1, 3, 4, 4)),), outputs=(spec,))
    with pytest.raises(ContractError, match="no gradient"):
        distillation(contract, [[torch.zeros(1, 4, 4, dtype=torch.int64)]])


def test_classes_are_compared_as_probabilities():
    contract = msgspec.structs.replace(
        MODELS["lraspp-mobilenet-v3-large"].contract, postprocess=Postprocess(decoder="logits")
    )
    teacher = answers(contract)
    loss = distillation(contract, [teacher])
    shifted = [value + 3.0 for value in teacher]  # the same probabilities: only the squares differ
    squares = 9.0 / float(teacher[0].square().mean())
    assert float(loss(shifted, teacher)) == pytest.approx(squares, rel=1e-3)
