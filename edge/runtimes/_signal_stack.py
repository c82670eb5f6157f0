"""The stack that a thread's signal handlers run on: sigaltstack(2)."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_DISABLE = 2  # SS_DISABLE of Linux's <signal.h>


class _Stack(ctypes.Structure):
    """stack_t of Linux."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack() -> tuple[int, int]:
    """Return the address and the size in bytes of the calling thread's alternate signal stack on Linux; 0 for none."""
    found = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found.sp or 0, found.size


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Give the thread back the alternate signal stack that it has now, whatever a library sets meanwhile.

    For libraries that free theirs while it is in use; Python's handlers ask for that stack, and the next signal would
    end the process with a segmentation fault. A stack that the kernel does not take back any more is taken off.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    libc, before = ctypes.CDLL(None), _Stack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        if libc.sigaltstack(ctypes.byref(before), None):
            libc.sigaltstack(ctypes.byref(_Stack(flags=_DISABLE)), None)
