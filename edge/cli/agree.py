"""`edge verify --server`: the device's answers and a server's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from convert.agreement import Agreement
from convert.build import VERIFY_TIMEOUT_S, execution_environment
from edge.artifact import Artifact
from edge.cli import print_json, progress
from edge.cli.options import MAX_PICTURES, pictures
from edge.cli.parity import parity_lines
from edge.client.endpoint import Endpoint
from edge.errors import EdgeError, UsageError
from edge.jobs import Job, run_job
from edge.pictures import compared_photos
from edge.store import command_log

_FOREIGN = ("checkpoint", "inputs", "contract_file", "random_weights")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the command line says of the server; `model` None is the artifact's own name."""

    url: str
    model: str | None
    token_file: Path | None
    ca_file: Path | None
    as_pictures: bool


def agree_all(
    artifacts: Sequence[Artifact], server: ServerOptions, options: Mapping[str, Any], *, as_json: bool
) -> int:
    """Compare every artifact with the server, print the results and return the exit code."""
    if given := [name for name in _FOREIGN if options.get(name)]:
        raise UsageError(f"--{given[0].removesuffix('_file').replace('_', '-')} is of the eager model, not of --server")
    chosen = pictures(options.get("data"), MAX_PICTURES, "data") or compared_photos(progress)
    rows: list[Agreement] = []
    failures: list[EdgeError] = []
    for artifact in artifacts:
        try:
            rows.append(_agree(artifact, server, chosen))
        except EdgeError as error:  # the others are still compared
            progress(f"{artifact.root}: {error}")
            failures.append(error)
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            click.echo(describe(row))
    if failures:
        return failures[0].exit_code
    return 0 if all(row.passed for row in rows) else 4


def _agree(artifact: Artifact, server: ServerOptions, chosen: Sequence[Path]) -> Agreement:
    model = server.model or artifact.manifest.model
    Endpoint(server.url, model)  # refuses an address before a process is started
    payload = {
        "artifact": str(artifact.root.resolve()),
        "server": server.url,
        "model": model,
        "token_file": str(server.token_file.resolve()) if server.token_file else "",
        "ca_file": str(server.ca_file.resolve()) if server.ca_file else "",
        "pictures": [str(path.resolve()) for path in chosen],
        "as_pictures": server.as_pictures,
    }
    job = Job(
        function="convert.agreement:agree_job",
        payload=payload,
        log=command_log("verify"),
        timeout_s=VERIFY_TIMEOUT_S,
        environment=execution_environment(artifact.manifest),
    )
    return msgspec.convert(run_job(job), Agreement)


def describe(row: Agreement) -> str:
    """Return a comparison as a few lines of text."""
    version = f" version {row.version}" if row.version else ""
    head = f"{row.artifact} and {row.model}{version} on {row.server}"
    lines = [f"{head}: {'agree' if row.passed else 'DISAGREE'} ({row.inputs} inputs, sent as {row.sent_as})"]
    return "\n".join([*lines, *parity_lines(row.outputs, row.task, row.reason)])
