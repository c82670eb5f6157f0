"""One person filmed by two cameras at once: is a moment that one camera saw found among what the other saw?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.samples import photographs
from edge.tasks._procrustes import procrustes_mpjpe
from edge.tasks.retrieval import hit_at_k, nearest, normalize_keypoints_3d
from edge.train.data.keypoints import BODY13
from edge.train.data.teacher import label_pictures
from edge.train.study import Metrics

_FRAME = re.compile(r"single-camera(\d)-(\d+)\.png")
_DEPTHS = (1, 3)
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What a teacher finds in N moments that two cameras saw: `image` (2, N, 13, 2), `world` (2, N, 13, 3)."""

    image: Array
    world: Array


def recorded_moments(say: Callable[[str], Any] = lambda _: None) -> Moments:
    """Return the moments of the kit's recording of one person in which the teacher finds her from both cameras."""
    found: dict[str, dict[str, tuple[Array, Array]]] = {}
    frames = [path for path in photographs().evaluation if _FRAME.fullmatch(path.name)]
    labelled = label_pictures(frames, progress=lambda name: say(f"label    {name}"))
    for place, path in enumerate(labelled.paths):
        sample, match = labelled[place], _FRAME.fullmatch(path.name)
        assert match is not None
        found.setdefault(match[1], {})[match[2]] = sample.keypoints[BODY13], sample.world[BODY13]
    first, second = (found[camera] for camera in sorted(found))
    shared = sorted(first.keys() & second.keys())
    image, world = (
        np.stack([[view[moment][part] for moment in shared] for view in (first, second)]) for part in (0, 1)
    )
    return Moments(image, world)


def moment_hits(similarity: Callable[[int, int], Array]) -> Metrics:
    """Return how often the query's own moment is among the nearest; `similarity(query, gallery)` is (N, N)."""
    hits = []
    for query, gallery in ((0, 1), (1, 0)):
        order = nearest(similarity(query, gallery), max(_DEPTHS))
        hits.append(hit_at_k(order == np.arange(len(order))[:, None], _DEPTHS))
    return {f"moment@{depth}": float(np.mean([found[depth] for found in hits])) for depth in _DEPTHS}


def poses_3d_hits(world: Array) -> Metrics:
    """Return the same for 3D poses (2, N, 13, 3), by their distance once one is turned onto the other."""
    first, second = normalize_keypoints_3d(world)
    apart = procrustes_mpjpe(first[:, None], second[None])
    return moment_hits(lambda query, _: -(apart if query == 0 else apart.T))
