"""Distillation from several teachers, part by part."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.train.recipes._multi_teacher import explained
from edge.train.teachers import (
    ManyTeachers,
    Projector,
    Standardised,
    Teacher,
    drop_teachers,
    feature_distance,
    mask_patches,
)


def test_standardised_features_have_mean_0_and_variance_1():
    torch.manual_seed(0)
    features = torch.randn(8, 3, 5, 5) * torch.tensor([0.1, 5.0, 100.0])[:, None, None] + 40.0
    part = Standardised(3).train()
    for _ in range(3):
        found = part(features)
    assert found.mean(dim=(0, 2, 3)) == pytest.approx(torch.zeros(3), abs=1e-3)
    assert found.var(dim=(0, 2, 3), unbiased=False) == pytest.approx(torch.ones(3), abs=1e-3)
    kept = part.mean.clone()
    part.eval()(features * 2)
    assert torch.equal(part.mean, kept)  # statistics rest outside training


def test_the_distance_of_equal_features_is_0():
    features = torch.randn(2, 4, 3, 3)
    assert feature_distance(features, features) == pytest.approx(torch.zeros(2), abs=1e-6)
    assert (feature_distance(features, -features) > 2.0).all()


@given(st.integers(1, 6), st.integers(1, 5), st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_farthest_teacher_always_stays(count, teachers, share, seed):
    torch.manual_seed(seed)
    distances = torch.rand(count, teachers)
    kept = drop_teachers(distances, share)
    assert set(kept.unique().tolist()) <= {0.0, 1.0}
    assert (kept.gather(1, distances.argmax(dim=1, keepdim=True)) == 1).all()
    assert (drop_teachers(distances, 0.0) == 1).all()
    assert (drop_teachers(distances, 1.0).sum(dim=1) == 1).all()


def test_teachers_sit_out_as_often_as_is_asked():
    torch.manual_seed(0)
    distances = torch.zeros(4000, 3)
    distances[:, 0] = 1.0
    assert drop_teachers(distances, 0.25).mean(dim=0) == pytest.approx(torch.tensor([1.0, 0.75, 0.75]), abs=0.03)


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(1, 16), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_masked_patches_are_squares_of_0(count, height, width, patch, share):
    pictures = torch.ones(count, 2, height, width)
    masked, mask = mask_patches(pictures, share, patch)
    assert mask.shape == (count, 1, height, width)
    assert torch.equal(masked, (1.0 - mask).expand_as(pictures))
    rows, columns = -(-height // patch), -(-width // patch)
    corners = mask[:, 0, ::patch, ::patch]
    assert corners.shape[1:] == (rows, columns)
    assert (corners.sum(dim=(1, 2)) == round(share * rows * columns)).all()
    for row in range(rows):
        for column in range(columns):
            block = mask[:, 0, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            assert torch.equal(block, corners[:, row, column, None, None].expand_as(block))


def teachers():
    torch.manual_seed(1)
    weights = torch.randn(5, 3, 1, 1), torch.randn(2, 3, 1, 1)
    return [
        Teacher("fine", lambda x: torch.nn.functional.conv2d(x, weights[0]) * 100.0, 5, level=0),
        Teacher("coarse", lambda x: torch.nn.functional.conv2d(x, weights[1])[..., ::2, ::2], 2, level=-1),
    ]


@pytest.mark.slow
def test_a_student_learns_from_all_teachers():
    torch.manual_seed(0)
    student = torch.nn.Conv2d(3, 8, 1)
    many = ManyTeachers(teachers(), (8, 8), dropped=0.5).train()
    optimizer = torch.optim.Adam([*student.parameters(), *many.parameters()], lr=1e-2)
    means = []
    for step in range(150):
        torch.manual_seed(step)
        pictures = torch.rand(4, 3, 8, 8)
        features = student(pictures)
        losses = many(pictures, (features, features))
        total = sum(losses.values())
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        means.append(float(total.detach()))
    assert sum(means[-10:]) < 0.6 * sum(means[:10])  # one teacher or both: the sum varies
    many.eval()
    features = student(pictures)
    assert {name: float(loss.detach()) < 1.2 for name, loss in many(pictures, (features, features)).items()} == {
        "fine": True,
        "coarse": True,
    }  # untrained ones begin at 1.4


def test_projectors_of_dropped_teachers_still_take_part():
    """Processes that share a batch wait for the gradients of all weights."""
    many = ManyTeachers(teachers(), (8, 8), dropped=1.0).train()
    features = torch.randn(2, 8, 8, 8)
    sum(many(torch.rand(2, 3, 8, 8), (features, features)).values()).backward()
    assert all(weight.grad is not None for weight in many.parameters())


def test_a_projector_takes_the_teachers_size():
    assert Projector(4, 7)(torch.randn(2, 4, 6, 6), (9, 5)).shape == (2, 7, 9, 5)


def test_what_a_linear_map_explains():
    torch.manual_seed(0)
    features = torch.randn(16, 4, 6, 6)
    target = torch.einsum("oc,nchw->nohw", torch.randn(3, 4), features) + 7.0
    assert explained(features, target) > 0.999
    assert explained(features, torch.randn(16, 3, 6, 6)) < 0.05
