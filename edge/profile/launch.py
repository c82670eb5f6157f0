"""`python -m edge.profile.launch ARTIFACT FLAGS`: one launch of the Python harness on this machine.

It opens an artifact with its runtime and prints the events of edge/profile/board/loop.py. Packages are imported before
the clock runs: importing Python is no part of loading a model.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge.artifact import Artifact, read_manifest
from edge.errors import EdgeError, Unexecutable
from edge.profile.board.loop import Events, Run, add_flags, limits_of, measure, memory_line, own_stdout, status_bytes
from edge.profile.inputs import read_inputs
from edge.runtimes import Session, open_session, runtime_of
from edge.threads import VARIABLE, thread_count


def main() -> int:
    """Run the launch that the command line describes; returns the exit code."""
    options = _parse()
    events = Events(own_stdout())
    try:
        _launch(options, events)
    except EdgeError as error:
        events.say(json.dumps({"k": "error", "type": type(error).__name__, "message": str(error)}))
        return error.exit_code
    except Exception as error:  # of a runtime: told to the reader as every other failure
        first = str(error).strip().partition("\n")[0]
        events.say(json.dumps({"k": "error", "type": "TargetError", "message": f"{type(error).__name__}: {first}"}))
        return 1
    events.say('{"k":"end"}')
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m edge.profile.launch")
    parser.add_argument("artifact", type=Path)
    add_flags(parser, threads=0)
    return parser.parse_args()


def _launch(options: argparse.Namespace, events: Events) -> None:
    if options.threads:
        os.environ[VARIABLE] = str(options.threads)
    artifact = read_manifest(options.artifact)
    found = runtime_of(artifact)
    found.preload()
    inputs = read_inputs(artifact, options.input)
    start = {"k": "start", "schema": 1, "runtime": found.package or artifact.manifest.target}
    version = found.version.rpartition(" ")[2]
    events.say(json.dumps({**start, "version": version, "threads": thread_count()}))
    before = status_bytes("/proc/self/status", "VmRSS:")

    def after_runs() -> None:
        if options.memory:
            events.say(memory_line(before))

    measure(lambda: _load(artifact, inputs, events), limits_of(options), events, after_runs)


def _load(artifact: Artifact, inputs: Mapping[str, NDArray[Any]], events: Events) -> Run:
    session = open_session(artifact)
    if session.mode == "reference":
        raise Unexecutable(str(artifact.root), ["an interpreter stands in for its runtime, whose time says nothing"])
    if session.mode == "emulated":
        events.say('{"k":"emulated"}')
    return _Bound(session, inputs)


class _Bound:
    """A session with its inputs; a call is one inference."""

    __slots__ = ("_inputs", "_run")

    def __init__(self, session: Session, inputs: Mapping[str, NDArray[Any]]) -> None:
        self._run, self._inputs = session.run, inputs

    def __call__(self) -> dict[str, NDArray[Any]]:
        return self._run(self._inputs)


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    os._exit(code)  # some runtimes crash in their destructors at exit; all events are written
