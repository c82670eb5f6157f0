"""Pictures for models of keypoints: the zoo's eager models find the person whose keypoints go in."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convert.reference import Arrays, Sample
from edge.contract import Contract
from edge.errors import MissingError, StoreError
from edge.images import read_image
from edge.tasks import Frame, Image
from edge.tasks.embedding import pose_inputs
from edge.tasks.pose import Pose, PosePipeline

if TYPE_CHECKING:
    from convert.program import Model

DETECTOR, LANDMARKS = "blazepose-detector", "blazepose-full"


def takes_keypoints(contract: Contract) -> bool:
    """Say whether the model is shown a person's keypoints in place of the picture."""
    return contract.task == "pose-embedding"


def find_pose(image: Image) -> Pose:
    """Return the pose of the person with the highest score, score 0 where nobody is; fetches weights the first time."""
    from convert.prepare import run_eager

    detector, landmarks = _model(DETECTOR), _model(LANDMARKS)
    place = PosePipeline(
        run_detector=lambda inputs: run_eager(detector, detector.contract, inputs),
        run_landmarks=lambda inputs: run_eager(landmarks, landmarks.contract, inputs),
        detector=detector.contract,
        landmarks=landmarks.contract,
    )
    return place(image)


@functools.cache
def _model(name: str) -> Model:
    from convert.load import load  # imports torch, which what runs artifacts does without otherwise

    return load(name)


def shown_keypoints(image: Image, contract: Contract) -> tuple[Arrays, Frame, Pose] | None:
    """Return the contract's input made of the person's keypoints, a frame that leaves pixels as they are, and the pose.

    None where nobody is.
    """
    pose = find_pose(image)
    if not pose.found:
        return None
    size = (image.shape[0], image.shape[1])
    return pose_inputs(pose, contract), Frame(size, size, np.eye(3)[:2]), pose


def keypoint_samples(contract: Contract, images: Sequence[Path]) -> list[Sample]:
    """Return one sample for each picture with a person; none where the models that find people cannot be had."""
    samples = []
    try:
        for path in images:
            shown = shown_keypoints(read_image(path), contract)
            if shown is not None:
                samples.append(Sample(path, shown[1], shown[0], {}))
    except (MissingError, StoreError):
        return []
    return samples
