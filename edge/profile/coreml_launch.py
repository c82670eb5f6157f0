"""`python -m edge.profile.coreml_launch ARTIFACT --device UDID FLAGS`: one launch of a Core ML model on an iPhone.

coremltools (its experimental perf_utils and remote_device) builds, signs and starts its model runner on the phone;
times are those that the phone takes. $EDGE_APPLE_TEAM and $EDGE_APPLE_BUNDLE are the development team and the
identifier that sign the app. Written from coremltools' sources: it has not yet run on a Mac.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from edge.artifact import read_manifest
from edge.errors import EdgeError, MissingError, TargetError
from edge.profile.board.loop import TEN, Events, add_flags, agree, own_stdout
from edge.profile.inputs import read_inputs
from edge.versions import installed_version


def main(words: list[str]) -> int:
    """Run the launch that the command line describes; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m edge.profile.coreml_launch")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--device", required=True)
    add_flags(parser, threads=0)
    options = parser.parse_args(words)
    events = Events(own_stdout())
    try:
        asyncio.run(_launch(options, events))
    except EdgeError as error:
        events.say(json.dumps({"k": "error", "type": type(error).__name__, "message": str(error)}))
        return error.exit_code
    except Exception as error:  # of coremltools, xcodebuild or devicectl
        first = str(error).strip().partition("\n")[0]
        events.say(json.dumps({"k": "error", "type": "TargetError", "message": f"{type(error).__name__}: {first}"}))
        return 1
    events.say('{"k":"end"}')
    return 0


async def _launch(options: argparse.Namespace, events: Events) -> None:
    if sys.platform != "darwin":
        raise MissingError("Core ML models are measured from a Mac with Xcode only")
    if options.memory:
        raise TargetError("coremltools does not tell the memory of a model on a phone")
    artifact = read_manifest(options.artifact)
    inputs = read_inputs(artifact, options.input) if options.input else None
    benchmarker = await _benchmarker(artifact.file(".mlpackage"), options.device)
    start = {"k": "start", "schema": 1, "runtime": "coremltools", "version": installed_version("coremltools")}
    events.say(json.dumps({**start, "threads": 0}))
    (cold_ms,) = (await benchmarker.benchmark_load(iterations=1)).samples
    events.say(f'{{"k":"load","ns":{round(cold_ms * 1e6)},"cold":true}}')
    first_ns = (await _ten(benchmarker, inputs, 1))[0]
    events.say(f'{{"k":"first","ns":{first_ns}}}')
    steady = await _warm_up(benchmarker, inputs, options, events)
    events.say(json.dumps({"k": "steady", "value": steady}))
    await _repeat(benchmarker, inputs, options, events)
    if not options.seconds:
        (warm_ms,) = (await benchmarker.benchmark_load(iterations=1)).samples
        events.say(f'{{"k":"load","ns":{round(warm_ms * 1e6)},"cold":false}}')


async def _benchmarker(package: Path, udid: str) -> Any:
    try:
        import coremltools
        from coremltools.models.ml_program.experimental.perf_utils import MLModelBenchmarker
        from coremltools.models.ml_program.experimental.remote_device import AppSigningCredentials, Device
    except ImportError as error:
        raise MissingError(
            f"coremltools cannot be imported ({error}): pip install 'edge-deployment-kit[coreml]'"
        ) from None
    team, bundle = os.environ.get("EDGE_APPLE_TEAM"), os.environ.get("EDGE_APPLE_BUNDLE")
    if not team or not bundle:
        raise MissingError("set EDGE_APPLE_TEAM and EDGE_APPLE_BUNDLE: the team and the identifier that sign the app")
    found = [phone for phone in Device.get_devices() if phone.udid == udid]
    if not found:
        raise MissingError(f"xcrun:{udid} is not connected; `xcrun devicectl list devices` lists phones")
    signing = AppSigningCredentials(development_team=team, bundle_identifier=bundle)
    phone = await found[0].prepare_for_model_debugging(credentials=signing)
    return MLModelBenchmarker(model=coremltools.models.MLModel(str(package), skip_model_load=True), device=phone)


async def _ten(benchmarker: Any, inputs: Any, count: int = TEN) -> list[int]:
    """Return the times of a few runs, which the phone took, in nanoseconds."""
    return [round(ms * 1e6) for ms in (await benchmarker.benchmark_predict(inputs=inputs, iterations=count)).samples]


async def _warm_up(benchmarker: Any, inputs: Any, options: argparse.Namespace, events: Events) -> bool:
    taken: list[int] = []
    begin = time.perf_counter()
    while len(taken) < options.warmup_runs and time.perf_counter() - begin < options.warmup_seconds:
        ten = await _ten(benchmarker, inputs)
        steady = bool(taken) and agree(taken[-TEN:], ten)
        taken += ten
        for ns in ten:
            events.run("warm", round((time.perf_counter() - begin) * 1e9), ns)
        if steady:
            return True
    return False


async def _repeat(benchmarker: Any, inputs: Any, options: argparse.Namespace, events: Events) -> None:
    """Run in tens: a run's start is that of its ten on the Mac's clock, and the runs before it in the ten."""
    begin = time.perf_counter()
    least, seconds = (1, options.seconds) if options.seconds else (options.min_runs, options.min_seconds)
    count = 0
    while count < least or time.perf_counter() - begin < seconds:
        start_ns = round((time.perf_counter() - begin) * 1e9)
        for ns in await _ten(benchmarker, inputs):
            events.run("run", start_ns, ns)
            start_ns += ns
            count += 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
