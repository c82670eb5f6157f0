"""What trainings leave behind in the process that tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def signal_of_ended_children() -> Iterator[None]:
    """Take torch's handler of SIGCHLD off again, which the first loader with workers installs for good.

    OpenVINO's CPU plugin leaves threads an alternate signal stack that is gone (2026.4, on processors with AMX): in a
    process that has run it, every later handler of Python ends in a segmentation fault.
    """
    yield
    if signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
        from torch.utils.data._utils import signal_handling

        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal_handling._SIGCHLD_handler_set = False
