"""Artifact + pictures → Evaluation: the task's metric over a data set, against the eager fp32 model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.evaluation import Evaluation


def evaluate_in_child(artifact: Path, prepared: Path, pictures: Sequence[Path], data: str, log: Path) -> Evaluation:
    """Execute an artifact on pictures in a child process; `data` names them in reports."""
    raise NotImplementedError  # written next
