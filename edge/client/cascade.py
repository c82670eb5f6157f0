"""Run small on the device, and ask a larger model on the server where the small one is not sure."""

from __future__ import annotations

from dataclasses import dataclass

from edge.client.answers import Answer
from edge.client.confidence import Confidence, confidence_for
from edge.client.errors import CallFailed, DeadlineMissed, Unavailable
from edge.client.policy import DataClass
from edge.client.runner import FallbackRunner, Given
from edge.client.transport import now_ms
from edge.errors import UsageError
from edge.tasks import Prediction, Region


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CascadeAnswer:
    """What the small model answered and, if it was asked, the large one.

    `why` is `confident`, `escalated`, the policy's reason for not asking, `too_late` where the large model would miss
    the deadline, or `failed`; in the last three cases the small answer stands.
    """

    small: Answer
    large: Answer | None
    confidence: float
    why: str

    @property
    def answer(self) -> Answer:
        """Return the answer that counts."""
        return self.large or self.small

    @property
    def result(self) -> Prediction | None:
        """Return the result that counts."""
        return self.answer.result


class Cascade:
    """Escalate below `threshold`, where the runner's policy and the user's consent allow it.

    `confidence` rates the small answer from 0 to 1; without one it is the task's (edge.client.confidence). Closing the
    runner is the app's.
    """

    def __init__(self, runner: FallbackRunner, threshold: float, confidence: Confidence | None = None) -> None:
        contract = runner.device_contract
        if contract is None:
            raise UsageError("a cascade begins on the device; give its runner an artifact")
        if not 0.0 <= threshold <= 1.0:
            raise UsageError(f"threshold is {threshold}; give a confidence from 0 to 1")
        self._runner, self._threshold = runner, threshold
        self._confidence = confidence or confidence_for(contract)

    def __call__(
        self,
        given: Given,
        *,
        deadline_ms: float | None = None,
        data_class: DataClass | None = None,
        region: Region | None = None,
    ) -> CascadeAnswer:
        """Run the small model, and the large one if it is needed; raises what the small one's call raises."""
        began = now_ms()
        limit = self._runner.policy.deadline_ms if deadline_ms is None else deadline_ms
        small = self._runner(given, deadline_ms=limit, region=region, mode="only-on-device")
        confidence = self._confidence(small)
        if confidence >= self._threshold:
            return CascadeAnswer(small=small, large=None, confidence=confidence, why="confident")
        if self._runner.policy.mode == "only-on-device":
            return CascadeAnswer(small=small, large=None, confidence=confidence, why="mode_only_on_device")
        left = None if limit is None else max(limit - (now_ms() - began), 0.0)
        large, why = self._escalate(given, left, data_class, region)
        return CascadeAnswer(small=small, large=large, confidence=confidence, why=why)

    def _escalate(
        self, given: Given, left_ms: float | None, data_class: DataClass | None, region: Region | None
    ) -> tuple[Answer | None, str]:
        try:
            large = self._runner(
                given, deadline_ms=left_ms, data_class=data_class, region=region, mode="only-server", punctual=True
            )
        except Unavailable as error:
            return None, str(error.decision.reason)
        except DeadlineMissed:
            return None, "too_late"
        except CallFailed:
            return None, "failed"
        return large, "escalated"
