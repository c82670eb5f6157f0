"""ExecuTorch's event tracer: an ETDump of every process, from Python on this machine or from the native runner.

The Inspector reads it, in a process of its own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge.artifact import Artifact, read_manifest
from edge.errors import Refused, TargetError
from edge.jobs import Job, run_job
from edge.profile.devices import Bundle, BundleFile, Command
from edge.profile.inputs import read_inputs
from edge.profile.operators import Found, Site, operators
from edge.profile.operators._inputs import TIMEOUT_S, payload_of, read_launch, run_launches
from edge.profile.operators._interleave import interleave
from edge.profile.operators._samples import LAUNCHES, Launch
from edge.profile.runners import Prepared, Wish, choose
from edge.runtimes.executorch import bindings, set_threads
from edge.threads import thread_count

_TRACE = "operators.etdump"
_LIMITS = ("--warmup-runs", "10", "--warmup-seconds", "1", "--min-runs", "10", "--min-seconds", "0.2")
_ON_THE_CPU = ("executorch-xnnpack", "executorch-ternary")


@operators("executorch", devices=("host", "adb", "ssh"))
def profile_executorch(artifact: Artifact, site: Site) -> Found:
    """Time the calls and XNNPACK's operators.

    Raises Refused for a delegate that does not run there, MissingError without executorch or a compiler.
    """
    family = artifact.manifest.target.partition(":")[0]
    if site.device.kind == "host" and family not in _ON_THE_CPU:
        raise Refused(f"{family} has no delegate that runs on this machine; its operators are timed on the device")
    in_python = site.device.kind == "host" and not site.device.prefix
    with tempfile.TemporaryDirectory(prefix="edge-operators-") as name:
        folder = Path(name)
        answers = _in_python(artifact, site, folder) if in_python else _natively(artifact, site, folder)
        launches = _parsed(artifact, site, folder, answers)
    return Found(tool="ExecuTorch Inspector", launches=tuple(launches))


def _parsed(artifact: Artifact, site: Site, folder: Path, answers: Sequence[Mapping[str, Any]]) -> list[Launch]:
    job = Job(
        function="edge.profile.operators._etdump:parse_job",
        payload={
            **payload_of(artifact, site),
            "dumps": [answer["dump"] for answer in answers],
            "kept": [answer["kept"] for answer in answers],
        },
        log=folder / "log",
        timeout_s=TIMEOUT_S,
    )
    found = [read_launch(entry) for entry in run_job(job)["launches"]]
    return [
        msgspec.structs.replace(launch, profiled_us=tuple(answer["profiled_us"]), plain_us=tuple(answer["plain_us"]))
        for launch, answer in zip(found, answers, strict=True)
    ]


def _in_python(artifact: Artifact, site: Site, folder: Path) -> list[dict[str, Any]]:
    return run_launches("edge.profile.operators.executorch:launch_job", artifact, site, folder)


def launch_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run the program with the event tracer and without it by turns; write the dump and return what was kept of it."""
    import torch

    artifact = read_manifest(Path(payload["artifact"]))
    if artifact.manifest.target.startswith("executorch-ternary"):
        from edge.runtimes.executorch_ternary import open_executorch_ternary

        open_executorch_ternary(artifact)  # loads the operators
    inputs = read_inputs(artifact, payload["inputs"])
    tensors = [torch.from_numpy(np.ascontiguousarray(inputs[spec.name])) for spec in artifact.manifest.inputs]
    set_threads(thread_count())
    data = artifact.file(".pte").read_bytes()
    dump = Path(payload["folder"]) / f"{payload['launch']}.etdump"
    try:
        traced, plain = (_load(data, traced=True), _load(data, traced=False))
        turns = interleave(
            lambda: traced[1].call(tensors, clone_outputs=False), lambda: plain[1].call(tensors, clone_outputs=False)
        )
        traced[0].write_etdump_result_to_file(str(dump))
    except RuntimeError as error:
        raise TargetError(f"ExecuTorch cannot run {artifact.root} under its event tracer: {error}") from error
    if not dump.is_file():
        raise Refused("this executorch was built without its event tracer: it wrote no ETDump")
    return {
        "dump": str(dump),
        "kept": list(turns.kept),
        "profiled_us": list(turns.profiled_us),
        "plain_us": list(turns.plain_us),
    }


def _load(data: bytes, *, traced: bool) -> tuple[Any, Any]:
    """Return a program and its method; the caller keeps `data`, which the program points into."""
    native = bindings()
    program = native._load_program_from_buffer(
        data, enable_etdump=traced, debug_buffer_size=0, program_verification=native.Verification.InternalConsistency
    )
    return program, program.load_method("forward")


def _natively(artifact: Artifact, site: Site, folder: Path) -> list[dict[str, Any]]:
    """Run the native runner with and without its trace by turns, a process each."""
    device = site.device
    prepared = choose(artifact, device, "native").prepare(artifact, device, site.record, Wish(threads=site.threads))
    inputs = [BundleFile(name=f"operators-{index}.bin", path=Path(path)) for index, path in enumerate(site.inputs)]
    remote = device.put(Bundle(files=(*prepared.bundle.files, *inputs)))
    words = [*prepared.argv, "--threads", str(site.threads), *_LIMITS]
    for file in inputs:
        words += ["--input", file.name]
    answers = []
    for number in range(LAUNCHES):
        plain = _runs_us(site, prepared, words, remote)
        seen = _runs_us(site, prepared, [*words, "--trace", _TRACE], remote)
        local = folder / f"{number}.etdump"
        device.get(f"{remote}/{_TRACE}", local)
        answers.append({"dump": str(local), "kept": None, "profiled_us": seen, "plain_us": plain})
    return answers


def _runs_us(site: Site, prepared: Prepared, words: Sequence[str], remote: str) -> list[float]:
    command = Command(argv=tuple(words), folder=remote, environment=prepared.environment)
    ended = site.device.run(command, TIMEOUT_S)
    found, problem = [], ended.problem
    for line in ended.output.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("k") == "run":
            found.append(float(event["ns"]) / 1e3)
        elif isinstance(event, dict) and event.get("k") == "error":
            problem = str(event.get("message", ""))
    if problem or ended.code != 0 or not found:
        last = (ended.errors.strip().splitlines() or [""])[-1]
        raise TargetError(f"the native runner on {site.device.id} failed: {problem or last or f'code {ended.code}'}")
    return found
