"""Run one function in a child process of its own, so that a crash, a hang or a kill stays there.

The function is named `package.module:function`, takes one JSON object and returns one. The child gets its own
process group, environment, time limit, log, and folder for temporary files, which is deleted when it has ended; it
dies with its parent. On its way it can tell how far it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from edge import errors
from edge.errors import EdgeError, JobKilled, JobTimeout, TargetError

LOG_LINES = 8
Item = TypeVar("Item")
Listener = Callable[[str, int, int], None]  # what is done, how many are, of how many
_running: set[subprocess.Popen[bytes]] = set()
_listeners: list[Listener] = []
_answers: list[IO[bytes]] = []  # in a child: the pipe to its parent
_guard = threading.Lock()
_stopping = threading.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Name a function, its argument, and the conditions it runs under."""

    function: str
    payload: Mapping[str, Any]
    log: Path
    timeout_s: float = 1800.0
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job took: wall clock, and the largest resident set among its processes."""

    seconds: float
    peak_bytes: int


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` told, from other threads, what running jobs say with `progressing`."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def progressing(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Yield the items and tell the parent process how many are done; in a process that is no job only yield them."""
    try:
        for done, item in enumerate(items):
            _tell(what, done, len(items))
            yield item
    finally:  # also where the reader needed no more
        _tell(what, len(items), len(items))


def _tell(what: str, done: int, total: int) -> None:
    for stream in _answers:
        with contextlib.suppress(OSError):
            stream.write(json.dumps({"what": what, "done": done, "total": total}).encode() + b"\n")
            stream.flush()


def measure_job(job: Job) -> Usage:
    """Run a job and return what it took; raises what `run_job` raises."""
    start = time.monotonic()
    answer = _run(job)
    return Usage(time.monotonic() - start, int(answer["peak_bytes"]))


def run_job(job: Job) -> dict[str, Any]:
    """Run a job and return its result.

    Raises the EdgeError that the function raised, TargetError for any other exception, JobKilled if the child died
    from a signal and JobTimeout if it ran too long; their messages end with the log's last lines.
    """
    result: dict[str, Any] = _run(job)["result"]
    return result


def _run(job: Job) -> dict[str, Any]:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    result_read, result_write = os.pipe()
    with os.fdopen(result_read, "rb") as results, job.log.open("ab") as log, _scratch() as scratch:
        log_start = log.tell()  # what earlier jobs wrote is not this one's
        try:
            process = _start(job, log, result_write, scratch)
        finally:
            os.close(result_write)
        collected: list[bytes] = []
        reader = threading.Thread(target=_read, args=(results, collected), daemon=True)
        reader.start()
        try:
            code = _wait(process, job, log_start)
        finally:
            with _guard:
                _running.discard(process)
        reader.join(timeout=5.0)
    return _result(job, code, collected[-1] if collected else b"", log_start)


def _read(results: IO[bytes], collected: list[bytes]) -> None:
    """Hand on what the child says of its progress; its last line is its answer."""
    for line in results:
        if line.startswith(b'{"what"'):
            told = json.loads(line)
            for listener in tuple(_listeners):
                listener(told["what"], told["done"], told["total"])
        else:
            collected.append(line)


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for what a job's libraries tidy up at exit, which a killed job and `os._exit` do not reach."""
    return tempfile.TemporaryDirectory(prefix="edge-job-", ignore_cleanup_errors=True)


def _start(job: Job, log: Any, result_write: int, scratch: str) -> subprocess.Popen[bytes]:
    with _guard:
        if _stopping.is_set():
            raise JobKilled(f"{job.function} was not started: the run is being stopped")
        process = subprocess.Popen(
            [sys.executable, "-m", "edge.jobs", job.function, str(result_write), str(os.getpid())],
            stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, pass_fds=(result_write,),
            env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": scratch, **job.environment},
        )  # fmt: skip
        _running.add(process)
    stdin = process.stdin
    if stdin is not None:
        with contextlib.suppress(BrokenPipeError), stdin:
            stdin.write(json.dumps(dict(job.payload)).encode())
    return process


def _wait(process: subprocess.Popen[bytes], job: Job, log_start: int) -> int:
    try:
        return process.wait(job.timeout_s)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise JobTimeout(
            f"{job.function} ran past its {job.timeout_s:g} s and was ended; {_tail(job.log, log_start)}"
        ) from None
    except BaseException:
        _kill(process)
        raise


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def stop_all() -> None:
    """End every running job and its children and let no new one start; for an interrupted run."""
    _stopping.set()
    with _guard:
        processes = list(_running)
    for process in processes:
        _kill(process)


def allow_jobs() -> None:
    """Let jobs start again after `stop_all`."""
    _stopping.clear()


def _result(job: Job, code: int, data: bytes, log_start: int) -> dict[str, Any]:
    if code < 0:
        name = signal.Signals(-code).name
        why = " (often the out-of-memory killer)" if name == "SIGKILL" else ""
        raise JobKilled(f"{job.function} died from {name}{why}; {_tail(job.log, log_start)}")
    try:
        answer: dict[str, Any] = json.loads(data)
    except json.JSONDecodeError:
        raise TargetError(f"{job.function} ended with code {code} and no result; {_tail(job.log, log_start)}") from None
    if "result" in answer:
        return answer
    if answer["error"] == "":
        raise TargetError(f"{answer['message']}; {_tail(job.log, log_start)}")
    kind = getattr(errors, answer["error"], TargetError)
    error = EdgeError.__new__(kind)
    error.args = (answer["message"],)
    raise error


def _tail(log: Path, start: int) -> str:
    """Return the log's path and its last lines from byte `start` on."""
    try:
        with log.open("rb") as stream:
            stream.seek(start)
            text = stream.read().decode(errors="replace")
    except OSError:
        return f"log: {log}"
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n    ".join([f"log {log}:", *lines[-LOG_LINES:]])


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when its parent ends (Linux: prctl(2), PR_SET_PDEATHSIG = 1)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _peak_bytes() -> int:
    """Return the largest resident set of this process and of the children that it waited for."""
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(peaks) * (1 if sys.platform == "darwin" else 1024)  # getrusage(2): KiB on Linux, bytes on macOS


def _main() -> None:
    name, result_fd, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.set_inheritable(result_fd, False)
    _die_with_parent(parent)
    payload = json.load(sys.stdin)
    answer: dict[str, Any]
    results = os.fdopen(result_fd, "wb")
    importlib.import_module("edge.jobs")._answers.append(results)  # not this module, which runs as __main__
    try:
        module, function = name.split(":")
        result = getattr(importlib.import_module(module), function)(payload)
        answer = {"result": result, "peak_bytes": _peak_bytes()}
    except EdgeError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except Exception as error:  # reported to the parent, with the traceback in the log
        with contextlib.suppress(OSError):
            traceback.print_exc()
        answer = {
            "error": "",
            "message": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}",
        }
    with results:
        results.write(json.dumps(answer).encode())
    with contextlib.suppress(OSError):  # the log's disk may be full
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)  # some runtimes crash in their destructors at exit; the answer is already written


if __name__ == "__main__":
    _main()
