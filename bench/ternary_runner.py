"""The parent's side of a worker: a process that answers one line for every line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self, cast

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Runner:
    """Start a runtime's worker and end it with the block; after its death every answer is the reason."""

    def __init__(self, runtime: str, threads: int) -> None:
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # closed with the block
        environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads)), "EDGE_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.ternary_worker", runtime, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment,
        )  # fmt: skip
        self._requests, self._answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        self._greeted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        with suppress(BrokenPipeError):
            self._requests.close()
        self._process.wait()
        self._answers.close()
        self._log.close()

    def ask(self, **request: object) -> dict[str, Any]:
        """Return the answer to a request: its fields, or `reason` if it could not be done."""
        if not self._greeted:
            self._greeted = True
            if "reason" in (greeting := self._read()):
                return greeting
        with suppress(BrokenPipeError):
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self._process.wait()
        self._log.seek(0)
        lines = [text for text in self._log.read().splitlines() if text.strip()]
        said = lines[-1] if lines else "nothing printed"
        return {"reason": f"failed: its process ended with {code}: {said}"}
