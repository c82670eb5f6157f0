"""Run a model on the device, on a server, or on both, as the fallback policy decides; docs/client.md."""

from __future__ import annotations

from edge.client.answers import Answer, Attempt, Spans
from edge.client.cascade import Cascade, CascadeAnswer
from edge.client.endpoint import Endpoint
from edge.client.errors import CallFailed, DeadlineMissed, Unavailable, Unreachable
from edge.client.policy import Policy
from edge.client.runner import FallbackRunner

__all__ = [
    "Answer",
    "Attempt",
    "CallFailed",
    "Cascade",
    "CascadeAnswer",
    "DeadlineMissed",
    "Endpoint",
    "FallbackRunner",
    "Policy",
    "Spans",
    "Unavailable",
    "Unreachable",
]
