"""How many threads a runtime may use."""

from __future__ import annotations

import os

from edge.errors import UsageError

VARIABLE = "EDGE_THREADS"


def thread_count() -> int:
    """Return the environment's EDGE_THREADS, or the number of cores; raises UsageError unless it is positive."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return os.cpu_count() or 1
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"{VARIABLE} is {text!r}; set it to a number of threads from 1, or unset it")
    return int(text)
