"""ExecuTorch with Qualcomm's delegate: run a `.pte` on the emulator of the Hexagon NPU that QNN's x86 library holds."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.artifact import Artifact, Mode
from edge.errors import MissingError, TargetError
from edge.runtimes import Session, runtime
from edge.runtimes.executorch import ExecutorchSession, set_threads
from edge.sdk import SDKS
from edge.threads import thread_count

SDK = "qnn-2.49"
_LIBRARY = "libQnnHtp.so"


class QnnSession(ExecutorchSession):
    """A loaded `.pte` whose delegates run on the emulated NPU, and the rest in portable kernels."""

    mode: Mode = "emulated"


@runtime("executorch-qnn", package="executorch")
def open_executorch_qnn(artifact: Artifact) -> Session:
    """Load the artifact's `.pte`; the delegate's graph is executed by QNN's emulator.

    A process emulates the chip of the first graph that it opens: artifacts of other chips belong in other processes.

    Raises MissingError without QNN in the process's environment, TargetError if the file does not suit it.
    """
    check_environment()
    set_threads(thread_count())
    load_quantized_kernels()
    with watched_output() as output:
        try:
            return QnnSession(artifact.file(".pte"), artifact.manifest.inputs, artifact.manifest.outputs)
        except TargetError as error:
            reason = output.error()
            raise TargetError(f"{error} (QNN says: {reason})" if reason else str(error)) from error


def load_quantized_kernels() -> None:
    """Register ExecuTorch's kernels that quantize and dequantize on the CPU, at the borders of what the NPU refused."""
    try:
        import executorch.kernels.quantized  # noqa: F401
    except ImportError as error:
        raise MissingError(
            f"executorch cannot be imported ({error}): pip install 'edge-deployment-kit[executorch]'"
        ) from error


def check_environment() -> Path:
    """Return the root of the SDK that this process was started with.

    The backend looks its libraries up by name, so the loader's path has to hold them from the process's start; with
    no SDK set it would download one. Raises MissingError if there is none, TargetError for another version.
    """
    entry = SDKS[SDK]
    root = os.environ.get("QNN_SDK_ROOT", "")
    if not root:
        raise MissingError(f"QNN_SDK_ROOT is not set in this process: it needs {entry.title} ({entry.command})")
    folders = [Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]
    library = next((folder / _LIBRARY for folder in folders if (folder / _LIBRARY).is_file()), None)
    if library is None:
        raise MissingError(
            f"no {_LIBRARY} on LD_LIBRARY_PATH: this process needs {entry.title} in {root} ({entry.command})"
        )
    entry.check(Path(root))
    return Path(root)


_STANDARD = (1, 2)  # stdout and stderr, whatever Python objects stand before them
_PREFIX = re.compile(r"^(\[[^\]]*\]\s*)*:?\s*")
_ERROR = re.compile(r"\[ERROR\]|<E>|^E\d|^E ")


@dataclass(frozen=True, slots=True)
class Output:
    """What native code writes to the process's stdout and stderr, kept in a file."""

    descriptor: int
    start: int = 0

    def lines(self) -> list[str]:
        """Return the lines written until now."""
        size = max(0, os.fstat(self.descriptor).st_size - self.start)
        return os.pread(self.descriptor, size, self.start).decode(errors="replace").splitlines()

    def error(self) -> str:
        """Return the first line that is marked as an error, without its marks, or an empty string."""
        return next((_PREFIX.sub("", line).strip() for line in self.lines() if _ERROR.search(line)), "")


@contextmanager
def captured_output() -> Iterator[Output]:
    """Collect what is written to file descriptors 1 and 2; at the end it is passed on to the log, descriptor 2."""
    with tempfile.TemporaryFile() as kept:
        output = Output(kept.fileno())
        saved = [os.dup(descriptor) for descriptor in _STANDARD]
        try:
            for descriptor in _STANDARD:
                os.dup2(kept.fileno(), descriptor)
            yield output
        finally:
            for descriptor, before in zip(_STANDARD, saved, strict=True):
                os.dup2(before, descriptor)
                os.close(before)
            for line in output.lines():
                os.write(2, f"{line}\n".encode())


@contextmanager
def watched_output() -> Iterator[Output]:
    """Read along what is written to descriptor 2 if it is a log file; it stays there even if the process dies."""
    if not stat.S_ISREG(os.fstat(2).st_mode):
        with captured_output() as output:
            yield output
        return
    reading = os.open("/proc/self/fd/2", os.O_RDONLY)  # an own descriptor: a log is opened for appending only
    try:
        yield Output(reading, os.fstat(reading).st_size)
    finally:
        os.close(reading)
