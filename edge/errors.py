"""The kit's one tree of errors; each class carries the exit code that `edge` ends with.

EdgeError                 1
├── UsageError            2   what was asked for is not possible as asked
│   ├── UnknownName       2   no such model, target, task, runtime or device
│   ├── InputError        2   a picture, folder or file that cannot be read
│   ├── CheckpointError   2   weights that do not fit the model
│   ├── ContractError     2   shapes, dtypes or names that contradict each other
│   └── Refused           2   a request that would have to be changed to be done
├── MissingError          3   a package, SDK, program, device or the network is absent
├── TargetError           1   a compiler or a runtime failed
│   ├── JobKilled         1   its child process died from a signal
│   └── JobTimeout        1   its child process took too long
├── ServeError            1   a server refused or failed, by HTTP status: edge/serve/errors.py
├── Unexecutable          1   this artifact cannot be executed here; its parity is unverified
└── StoreError            1   a download, a hash or the disk went wrong

An artifact that does not compute what the model computes is a result, not an error: `edge` ends with 4.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED = 20  # names in one line


class EdgeError(Exception):
    """Say in one line what went wrong, what was expected and what mends it."""

    exit_code = 1


class UsageError(EdgeError):
    """Report a request that cannot be carried out as written."""

    exit_code = 2


class UnknownName(UsageError):
    """Report a name that no registry holds, with the closest ones that exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], command: str = "") -> None:
        self.kind, self.name = kind, name
        choices = sorted(known)
        within = [choice for choice in choices if name and name in choice]
        close = within[:3] or difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
        if close:
            hint = f"did you mean {' or '.join(close)}?"
        elif command and len(choices) > _LISTED:
            hint = f"none of {len(choices)} is like it"
        else:
            hint = f"known: {', '.join(choices) or 'none'}"
        tail = f" (`{command}` lists them)" if command else ""
        super().__init__(f"unknown {kind} {name!r}: {hint}{tail}")


class InputError(UsageError):
    """Report a picture, a folder or a file that cannot be used as input."""


class CheckpointError(UsageError):
    """Report weights that cannot be read or do not fit the model."""


class ContractError(UsageError):
    """Report shapes, dtypes or names that contradict each other."""


class Refused(UsageError):
    """Refuse a request that could only be met by changing it; names the nearest possible one."""


class MissingError(EdgeError):
    """Report a package, SDK, program, device or network that is absent, with the command that gets it."""

    exit_code = 3


class TargetError(EdgeError):
    """Report a compiler or runtime that failed; the message ends with its log's last lines."""


class JobKilled(TargetError):
    """Report a child process that died from a signal (a crash or the out-of-memory killer)."""


class JobTimeout(TargetError):
    """Report a child process that ran past its time limit and was ended."""


class Unexecutable(EdgeError):
    """Report an artifact that cannot be executed here, so that its parity stays unverified; `reasons` say why."""

    def __init__(self, what: str, reasons: Iterable[str]) -> None:
        self.reasons: tuple[str, ...] = tuple(reasons)
        super().__init__(f"{what} cannot be executed here, so its parity is unverified: {'; '.join(self.reasons)}")


class StoreError(EdgeError):
    """Report a download that broke, a file whose hash is wrong, or a disk that is full."""
