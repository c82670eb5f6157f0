"""The losses of the pose embedding against loops, torch's distributions and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from edge.tasks import retrieval
from edge.tasks.embedding import normalize_keypoints
from edge.train.pose_embedding import (
    PoseEmbeddingLoss,
    draw_samples,
    gaussian_prior,
    matching_distances,
    normalize_2d,
    normalize_3d,
    np_mpjpe,
    triplet_ratio_loss,
)
from edge.zoo import MODELS

RANDOM = np.random.default_rng(5)
A, B = torch.tensor(0.9), torch.tensor(0.4)


def poses(count, dimensions=3):
    return RANDOM.normal(size=(count, 13, dimensions)) + np.linspace(0, 3, 13)[:, None]


def naive_np_mpjpe(first, second):
    """One pair at a time, with scipy's rotation, reflections refused by trying the flipped source."""
    first, second = (retrieval.normalize_keypoints_3d(pose) for pose in (first, second))
    to, fro = first - first.mean(axis=0), second - second.mean(axis=0)
    rotation, _ = Rotation.align_vectors(to, fro)
    turned = fro @ rotation.as_matrix().T
    scale = (turned * to).sum() / (fro**2).sum()
    return np.linalg.norm(scale * turned - to, axis=1).mean()


def test_np_mpjpe_is_the_naive_one():
    first, second = poses(6), poses(5)
    expected = [[naive_np_mpjpe(a, b) for b in second] for a in first]
    found = np_mpjpe(torch.tensor(first)[:, None], torch.tensor(second)[None])
    assert np.allclose(found, expected, atol=1e-10)
    assert np.allclose(retrieval.np_mpjpe(first[:, None], second[None]), expected, atol=1e-10)
    free, _ = orthogonal_procrustes(second[0], first[0])
    assert free.shape == (3, 3)


def test_normalisation_is_the_tasks():
    flat = poses(4, 2)
    assert np.allclose(normalize_2d(torch.tensor(flat)), normalize_keypoints(flat), atol=1e-6)
    deep = poses(4)
    assert np.allclose(normalize_3d(torch.tensor(deep)), retrieval.normalize_keypoints_3d(deep))
    assert torch.isfinite(normalize_2d(torch.zeros(2, 13, 2))).all()
    assert torch.isfinite(np_mpjpe(torch.zeros(2, 13, 3), torch.zeros(2, 13, 3))).all()


def test_distances_are_the_mean_over_pairs_of_samples():
    first, second = torch.randn(3, 4, 16), torch.randn(2, 5, 16)
    found = matching_distances(first[:, None], second[None], A, B)
    for i in range(3):
        for j in range(2):
            likely = [
                0.9 / (1 + math.exp(float(A * (x - y).norm() - B))) + 0.05 for x in first[i] for y in second[j]
            ]  # smoothing 0.1
            assert float(found[i, j]) == pytest.approx(-math.log(sum(likely) / len(likely)), rel=1e-5)


def naive_triplets(positive, others, negative, margin):
    losses = []
    for anchor, near in enumerate(positive):
        farther = [d for d, other in zip(others[anchor], negative[anchor], strict=True) if other and d > near]
        if farther and near + margin - min(farther) > 0:
            losses.append(near + margin - min(farther))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_triplets_are_the_naive_ones(seed):
    random = np.random.default_rng(seed)
    positive, others = random.random(7), random.random((7, 9)) * 2
    negative = random.random((7, 9)) < 0.6
    found = triplet_ratio_loss(torch.tensor(positive), torch.tensor(others), torch.tensor(negative))
    assert float(found) == pytest.approx(naive_triplets(positive, others, negative, math.log(2)), abs=1e-9)


def test_a_batch_without_negatives_costs_nothing_and_has_finite_gradients():
    positive, others = torch.rand(3, requires_grad=True), torch.rand(3, 3, requires_grad=True)
    loss = triplet_ratio_loss(positive, others, torch.zeros(3, 3, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.isfinite(positive.grad).all()
    assert torch.isfinite(others.grad).all()


def test_the_prior_is_the_divergence_from_a_standard_gaussian():
    mean, sigma = torch.randn(6, 16), torch.rand(6, 16) + 0.1
    ones = torch.distributions.Normal(torch.zeros(16), torch.ones(16))
    expected = torch.distributions.kl_divergence(torch.distributions.Normal(mean, sigma), ones).sum(-1).mean()
    assert float(gaussian_prior(mean, sigma)) == pytest.approx(float(expected), rel=1e-5)
    assert float(gaussian_prior(torch.zeros(2, 16), torch.ones(2, 16))) == pytest.approx(0, abs=1e-6)


def test_samples_follow_the_gaussian_and_lead_gradients_back():
    mean, sigma = torch.tensor([[1.0, -2.0]], requires_grad=True), torch.tensor([[0.5, 2.0]], requires_grad=True)
    drawn = draw_samples(mean, sigma, 20_000, torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.mean(dim=1), mean, atol=0.05)
    assert torch.allclose(drawn.std(dim=1), sigma, atol=0.05)
    drawn.sum().backward()
    assert mean.grad is not None
    assert sigma.grad is not None


def test_training_pulls_views_of_a_pose_together():
    torch.manual_seed(0)
    network = MODELS["pr-vipe"].network().train()
    three = torch.tensor(poses(24), dtype=torch.float32)
    views = [normalize_2d(three[..., axes]) for axes in ([0, 1], [2, 1])]
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    loss, totals = PoseEmbeddingLoss(), []
    for _ in range(25):
        embedded = [network(view) for view in views]
        parts = loss.parts(embedded[0], embedded[1], (three, three), (network.matching.a, network.matching.b))
        total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert set(parts) == {"triplet", "positive", "prior"}
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert np.mean(totals[-5:]) < 0.8 * np.mean(totals[:5])
