"""What the operating system says about a disk, as errors that name the mend."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from edge.errors import StoreError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_IN_THE_WAY = frozenset({errno.ENOTDIR, errno.EEXIST})


@contextlib.contextmanager
def disk_errors(path: Path, elsewhere: str) -> Iterator[None]:
    """Raise StoreError for a full, forbidden or occupied place below `path`; `elsewhere` says how to choose another.

    Any other OSError is left as it is: it is no fault of the disk. Keep the body to the writing itself.
    """
    try:
        yield
    except shutil.Error as error:  # of copytree, which keeps of each error its text only
        raise StoreError(f"cannot write into {path}: {first_reason(error)}; free some space or {elsewhere}") from error
    except OSError as error:
        if error.errno in FULL:
            mend = f"free some space or {elsewhere}"
        elif error.errno in _FORBIDDEN:
            mend = f"allow it or {elsewhere}"
        elif error.errno in _IN_THE_WAY:
            mend = f"move what is at {error.filename or path} away or {elsewhere}"
        else:
            raise
        raise StoreError(f"cannot write into {path}: {error.strerror}; {mend}") from error


def first_reason(error: OSError) -> str:
    """Return one line: what went wrong, and with which file if that is known."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][0][-1]).split("\n", 1)[0]
    text = error.strerror or str(error).strip().split("\n", 1)[0] or type(error).__name__
    return f"{text}: {error.filename}" if error.filename else text
