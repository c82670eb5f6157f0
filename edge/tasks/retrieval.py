"""Retrieval of poses across views: does the gallery's nearest embedding show the query's pose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.tasks._procrustes import procrustes_mpjpe
from edge.tasks.embedding import LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER, Gaussians

SAME_POSE = 0.1  # largest NP-MPJPE of two poses that count as one, as in the paper
DEPTHS = (1, 5, 10, 20)
Similarity = Callable[[Gaussians, Gaussians], NDArray[Any]]  # (Q, D), (G, D) → (Q, G), larger is more alike


def normalize_keypoints_3d(points: NDArray[Any]) -> NDArray[np.float64]:
    """Move 3D keypoints (…, 13, 3) to the middle of the hips, and scale mid-shoulder to mid-hip to 1.

    Source: the keypoint profile 3DSTD13 of google-research/poem. Raises InputError for poses without a torso.
    """
    points = np.asarray(points, np.float64)
    hips, shoulders = (
        points[..., pair, :].mean(axis=-2, keepdims=True)
        for pair in ([LEFT_HIP, RIGHT_HIP], [LEFT_SHOULDER, RIGHT_SHOULDER])
    )
    torso = np.linalg.norm(shoulders - hips, axis=-1, keepdims=True)
    if not (np.isfinite(points).all() and (torso > 0).all()):
        raise InputError("a 3D pose has no torso, or a point that is not finite; leave it out")
    return np.asarray((points - hips) / torso)


def np_mpjpe(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Return NP-MPJPE (…) of 3D poses (…, 13, 3) in lengths of the torso: both normalised, the second moved onto the
    first.

    Source: section 3 of arXiv:1912.01001. Leading axes broadcast.
    """
    return procrustes_mpjpe(normalize_keypoints_3d(first), normalize_keypoints_3d(second))


def nearest(similarity: NDArray[Any], depth: int) -> NDArray[np.intp]:
    """Return the places (Q, depth) of the largest similarities (Q, G), best first; of equal ones the first."""
    return np.argsort(-similarity, axis=1, kind="stable")[:, :depth]


def hit_at_k(matches: NDArray[np.bool_], depths: Sequence[int] = DEPTHS) -> dict[int, float]:
    """Return the share of queries with a match among the first k, of `matches` (Q, retrieved), best first."""
    if matches.ndim != 2 or not len(matches):
        raise InputError(f"matches have shape {list(matches.shape)}; expected (queries, retrieved), one query at least")
    return {depth: float(matches[:, :depth].any(axis=1).mean()) for depth in depths}


def cross_view_hits(
    embeddings: Sequence[Gaussians],
    poses: Sequence[NDArray[Any]],
    similarity: Similarity,
    *,
    depths: Sequence[int] = DEPTHS,
    same_pose: float = SAME_POSE,
) -> dict[int, float]:
    """Return Hit@k over all ordered pairs of different views, each query view searched in each other view's gallery.

    View v has embeddings (Nv, D) of the 3D poses (Nv, 13, 3); a retrieved pose is a hit within `same_pose` of the
    query's. The mean is over pairs of views, as in section 4 of arXiv:1912.01001. Raises InputError for fewer than two
    views, an empty one, or counts that differ.
    """
    counts = [(len(view.mean), len(view.sigma), len(pose)) for view, pose in zip(embeddings, poses, strict=False)]
    if len(embeddings) != len(poses) or len(poses) < 2 or any(len({*count}) > 1 or not count[0] for count in counts):
        raise InputError(
            f"{len(embeddings)} views of embeddings and {len(poses)} of poses, with {counts} of each; expected two "
            "views or more, with as many embeddings as poses"
        )
    normal = [normalize_keypoints_3d(view) for view in poses]
    hits = []
    for query in range(len(embeddings)):
        for gallery in range(len(embeddings)):
            if query == gallery:
                continue
            found = nearest(similarity(embeddings[query], embeddings[gallery]), max(depths))
            apart = procrustes_mpjpe(normal[query][:, None], normal[gallery][found])
            hits.append(hit_at_k(apart <= same_pose, depths))
    return {depth: float(np.mean([hit[depth] for hit in hits])) for depth in depths}
