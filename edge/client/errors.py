"""How a call fails; all are EdgeErrors.

Unavailable     3   the policy lets neither side run; nothing was sent
CallFailed      1   every side that may run failed
DeadlineMissed  1   no side answered in time
Unreachable     3   no connection to the server could be made
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.errors import EdgeError, MissingError
from edge.serve.errors import AnswerError, DeadlinePassed

if TYPE_CHECKING:
    from edge.client.answers import Attempt
    from edge.serve.call import Decision


class Unreachable(MissingError):
    """Report a server that no connection could be made to, or whose connection had silently ended."""


class Cut(AnswerError):
    """Report a connection that ended before the answer did."""


class Blocked(EdgeError):
    """Report a request that was not sent, as a gate had closed since the decision; `code` names it."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class DeviceBusy(EdgeError):
    """Report a device that still runs what earlier calls left behind."""


class Unavailable(MissingError):
    """Report a call that may run nowhere; `decision.reason` names the gate."""

    def __init__(self, message: str, decision: Decision) -> None:
        self.decision = decision
        super().__init__(message)


class CallFailed(EdgeError):
    """Report a call whose every side failed; `attempts` say how, the last error is the cause."""

    def __init__(self, message: str, decision: Decision, attempts: tuple[Attempt, ...]) -> None:
        self.decision, self.attempts = decision, attempts
        super().__init__(message)


class DeadlineMissed(DeadlinePassed):
    """Report a call that no side answered in time; `attempts` say what was tried."""

    def __init__(self, message: str, decision: Decision, attempts: tuple[Attempt, ...]) -> None:
        self.decision, self.attempts = decision, attempts
        super().__init__(message)
