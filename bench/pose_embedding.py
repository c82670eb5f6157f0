"""Matching probabilities and NP-MPJPE of many poses, beside loops over pairs: `python -m bench.pose_embedding`."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from bench.timing import median_ms
from edge.profile.machine import host_name
from edge.report.records import now
from edge.tasks.embedding import Gaussians, Matching
from edge.tasks.retrieval import normalize_keypoints_3d, np_mpjpe

QUERIES, GALLERY, SIZE, ROUNDS = 40, 50, 16, 7


def naive_matching(queries: Gaussians, gallery: Gaussians, rule: Matching) -> list[list[float]]:
    """Compare sample by sample."""
    noise = [np.random.default_rng((rule.seed, role)).standard_normal((rule.samples, SIZE)) for role in (0, 1)]
    table = []
    for mean, sigma in zip(queries.mean, queries.sigma, strict=True):
        row = []
        for other, width in zip(gallery.mean, gallery.sigma, strict=True):
            distances = np.array(
                [[np.linalg.norm(x - y) for y in other + width * noise[1]] for x in mean + sigma * noise[0]]
            )
            row.append(float((1 / (1 + np.exp(rule.a * distances - rule.b))).mean()))
        table.append(row)
    return table


def naive_np_mpjpe(first: np.ndarray, second: np.ndarray) -> list[list[float]]:
    """Align pair by pair with scipy."""
    table = []
    for one in normalize_keypoints_3d(first):
        row = []
        for two in normalize_keypoints_3d(second):
            to, fro = one - one.mean(axis=0), two - two.mean(axis=0)
            turned = Rotation.align_vectors(to, fro)[0].apply(fro)
            scale = (turned * to).sum() / (fro**2).sum()
            row.append(float(np.linalg.norm(scale * turned - to, axis=1).mean()))
        table.append(row)
    return table


def main() -> None:
    """Print both, with the machine and the date."""
    random, rule = np.random.default_rng(0), Matching()
    queries, gallery = (
        Gaussians(random.normal(size=(n, SIZE)).astype(np.float32), random.random((n, SIZE)).astype(np.float32))
        for n in (QUERIES, GALLERY)
    )
    first, second = random.normal(size=(QUERIES, 13, 3)), random.normal(size=(GALLERY, 13, 3))
    print(f"{now()[:10]}, {host_name()}; {QUERIES} × {GALLERY} pairs, medians")
    assert np.allclose(rule(queries, gallery), naive_matching(queries, gallery, rule), atol=1e-5)
    assert np.allclose(np_mpjpe(first[:, None], second), naive_np_mpjpe(first, second), atol=1e-9)
    for name, ours, naive in (
        (
            f"matching, {rule.samples}² samples",
            lambda: rule(queries, gallery),
            lambda: naive_matching(queries, gallery, rule),
        ),
        ("NP-MPJPE", lambda: np_mpjpe(first[:, None], second), lambda: naive_np_mpjpe(first, second)),
    ):
        print(f"{name}: {median_ms(ours, ROUNDS):.2f} ms, naive {median_ms(naive, 1):.0f} ms")


if __name__ == "__main__":
    main()
