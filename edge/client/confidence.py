"""How sure a model is of a result, from 0 to 1; calibrated by nobody, so that a threshold belongs to one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.client.answers import Answer
from edge.contract import Contract
from edge.errors import ContractError
from edge.tasks._geometry import planes
from edge.tasks.keypoints import People
from edge.tasks.pose import Detections, Pose
from edge.tasks.segmentation import Segmentation, decoder_of

Confidence = Callable[[Answer], float]


def confidence_for(contract: Contract) -> Confidence:
    """Return the task's measure.

    Poses: the probability that a person is there. Detections and keypoints: the best person's score, 0 without any,
    so that every picture without a person is asked about again. Segmentation: the mean over pixels of the likeliest
    class's probability. Raises ContractError for tasks and decoders that say nothing of their certainty.
    """
    if contract.task in ("pose-landmarks", "pose-detection", "keypoints"):
        return _score
    if contract.task == "segmentation" and decoder_of(contract) in ("probability", "logits", "argmax"):
        return lambda answer: _mean_probability(answer, contract)
    raise ContractError(
        f"task {contract.task} does not say how sure it is of a result; give the cascade a confidence function"
    )


def _score(answer: Answer) -> float:
    if isinstance(answer.result, Pose):
        return float(answer.result.score)
    if isinstance(answer.result, (Detections, People)):
        return max((float(item.score) for item in answer.result.items), default=0.0)
    raise ContractError("only answers to pictures have a score; give the cascade a confidence function")


def _mean_probability(answer: Answer, contract: Contract) -> float:
    if isinstance(answer.result, Segmentation) and answer.result.probability is not None:
        likelier = np.maximum(answer.result.probability, 1.0 - answer.result.probability)
        return float(likelier.mean())
    scores = planes(answer.outputs, contract, contract.outputs[0].name).astype(np.float64)
    return float(_softmax(scores).max(axis=2).mean())


def _softmax(scores: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    return np.asarray(powers / powers.sum(axis=2, keepdims=True))
