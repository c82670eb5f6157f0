"""Memory that a model frees between two runs stays with the process."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt(3)
_KEPT_BYTES = 1 << 30


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed, and return whether it does; other C libraries are left as they are.

    By default large blocks go back to the system at once, and every run faults its activations in again, page by page:
    for batches of 8 an eighth (deeplabv3-mobilenet-v3-large) to a third (selfie-segmentation) of the time here.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return all(mallopt(option, _KEPT_BYTES) == 1 for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))
