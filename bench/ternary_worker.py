"""One runtime in a process of its own, which prepares and times its peers on demand: a line of JSON in, one out."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from bench.ternary_peers import Case, Missing, Peer, Prepared, Problem, package_version, peers_of
from bench.ternary_record import relative_error

_MOST_CALLS = 2000


def main(arguments: list[str]) -> int:
    """Answer requests about one runtime until they end; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    runtime, threads = arguments[0], int(arguments[1])
    worker = _Worker(peers_of(runtime), threads)
    _answer(answers, {"version": package_version(runtime)})
    for line in sys.stdin:
        _answer(answers, worker.do(json.loads(line)))
    return 0


def _answer(stream: IO[str], content: dict[str, Any]) -> None:
    stream.write(json.dumps(content) + "\n")
    stream.flush()


class _Worker:
    """Keep the products of the current case."""

    def __init__(self, peers: tuple[Peer, ...], threads: int) -> None:
        self._peers, self._threads = {peer.name: peer for peer in peers}, threads
        self._ready: dict[str, Prepared] = {}

    def do(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked for; what goes wrong is the answer."""
        try:
            if request["do"] == "prepare":
                return self._prepare(request)
            if request["do"] == "time":
                return self._time(request)
            self._ready.clear()
            gc.collect()
            return {}
        except Missing as error:
            return {"reason": f"missing: {error}"}
        except Exception as error:  # a library's failure is a line of the table
            return {"reason": f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}

    def _prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a product ready and compare its result with the reference."""
        peer, folder = self._peers[request["peer"]], Path(request["folder"])
        prepared = peer.prepare(_problem(folder), self._threads)
        prepared.run()
        error, reason = _compare(peer, prepared, folder)
        if reason:
            return {"error": error, "reason": reason}
        self._ready[peer.name] = prepared
        started = time.perf_counter_ns()
        prepared.run()
        lasted = max(1, time.perf_counter_ns() - started)
        calls = int(min(_MOST_CALLS, max(1, request["batch_ms"] * 1e6 // lasted)))
        return {
            "error": error, "stored_bits": prepared.stored_bits, "read_bytes": prepared.read_bytes, "calls": calls,
        }  # fmt: skip

    def _time(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time single calls after one that is not: it brings back what other processes pushed out of the caches."""
        run = self._ready[request["peer"]].run
        clock = time.thread_time_ns if request["clock"] == "cpu" else time.perf_counter_ns
        run()
        times = []
        for _ in range(request["calls"]):
            start = clock()
            run()
            times.append(clock() - start)
        return {"median_ms": float(np.median(times)) / 1e6, "least_ms": min(times) / 1e6}


def _problem(folder: Path) -> Problem:
    activations, scale = np.load(folder / "activations.npy"), np.load(folder / "scale.npy")
    trits = np.load(folder / "trits.npy", mmap_mode="r")
    case = Case(len(activations), trits.shape[1], trits.shape[0])
    return Problem(case, activations, np.asarray(trits), scale)


def _compare(peer: Peer, prepared: Prepared, folder: Path) -> tuple[float, str]:
    """Return a result's error and, if it is larger than the peer's arithmetic explains, what is wrong."""
    if np.isinf(peer.tolerance):
        return 0.0, ""
    found = np.array(prepared.result(), np.float32)
    error = relative_error(found, np.load(folder / "expected.npy"))
    if peer.tolerance == 0:
        exact = np.load(folder / "exact.npy")
        wrong = int((found != exact).sum())
        return error, f"wrong: {wrong} of {exact.size} results differ from the integer reference" if wrong else ""
    if not error <= peer.tolerance:  # also for NaN
        return error, f"wrong: the error is {error:.2g} of the result; expected at most {peer.tolerance:g}"
    return error, ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
