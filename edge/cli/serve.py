"""`edge serve`."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from edge.cli import json_option, print_json, progress
from edge.errors import TargetError, UsageError
from edge.server.config import ServerConfig, configure, read_config
from edge.server.serving import check_address, check_models, name_artifacts, serving

_PATH = click.Path(path_type=Path)
_FOR_ALL = ("max_batch", "max_replicas", "timeout_ms")


@click.command("serve")
@click.argument("sources", nargs=-1, metavar="[MODEL|ARTIFACT|FILE.pt2]...")
@click.option("--config", "config_file", type=_PATH, help="A TOML file with all of this and more: docs/serving.md.")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: 8000]")
@click.option("--insecure", is_flag=True, default=None, help="Without TLS and tokens; on loopback only.")
@click.option("--certificate", help="PEM with the certificate's chain.")
@click.option("--key", help="PEM with its key.")
@click.option("--tokens", help="The file that `edge token` keeps.")
@click.option("--checkpoint", "checkpoints", multiple=True, metavar="MODEL=FILE", help="A model's weights; repeatable.")
@click.option("--replicas", "max_replicas", type=click.IntRange(1, 1000), help="Of every model named here, at most.")
@click.option("--max-batch", type=click.IntRange(1, 1024), help="Rows of a batch, for every model named here.")
@click.option("--timeout-ms", type=click.FloatRange(1), help="Longest time of a request, for every model named here.")
@click.option("--drain", "drain_seconds", type=click.FloatRange(0, 3600), help="For accepted requests at the end.")
@click.option("--logs", help="Folder for the log, JSON lines. Default: it ends with the server.")
@click.option("--ray-address", help="A running Ray cluster. Default: one is started on this machine.")
@click.option("--kuberay", type=_PATH, help="Write a KubeRay manifest to this file instead of serving.")
@click.option("--triton", type=_PATH, help="Write a Triton model repository to this folder instead of serving.")
@click.option("--image", default="edge-server:latest", show_default=True, help="Name of the manifest's image.")
@click.option("--ingress-host", default="edge.example.com", show_default=True, help="The manifest's host name.")
@json_option
def serve_command(
    sources: tuple[str, ...],
    config_file: Path | None,
    checkpoints: tuple[str, ...],
    kuberay: Path | None,
    triton: Path | None,
    image: str,
    ingress_host: str,
    as_json: bool,
    **words: Any,
) -> None:
    """Serve models over HTTP with the Open Inference Protocol, until SIGTERM or Ctrl-C.

    \b
    edge serve blazepose-heavy kmax-deeplab-r50 --insecure     try it, on this machine only
    edge serve blazepose-heavy --host 0.0.0.0 --certificate c.pem --key k.pem --tokens tokens.json

    Without --insecure a certificate, its key and tokens are needed. At the end no new request is taken, and those that
    were accepted are answered first.
    """
    for_all = {name: value for name in _FOR_ALL if (value := words.pop(name)) is not None}
    named = [{"source": source, **for_all} for source in sources]
    file = read_config(config_file) if config_file else None
    config = name_artifacts(configure(_with_checkpoints(named, checkpoints), file, **words))
    if kuberay:
        _write_kuberay(config, kuberay, image, ingress_host, as_json)
    if triton:
        _write_triton(config, triton, as_json)
    if not kuberay and not triton:
        _serve(config, as_json)


def _with_checkpoints(named: list[dict[str, Any]], checkpoints: Sequence[str]) -> list[dict[str, Any]]:
    """Return the models with the checkpoints of `--checkpoint MODEL=FILE`; raises UsageError for another model's."""
    for text in checkpoints:
        model, _, file = text.partition("=")
        given = [one for one in named if one["source"] == model]
        if not given or not file:
            raise UsageError(f"--checkpoint {text}: expected MODEL=FILE with a model that is served here")
        for one in given:
            one["checkpoint"] = file
    return named


def _write_kuberay(config: ServerConfig, path: Path, image: str, host: str, as_json: bool) -> None:
    from edge.server.kuberay import Cluster, write_kuberay

    written = write_kuberay(config, path, Cluster(image=image, host=host))
    _say_written(written, as_json)


def _write_triton(config: ServerConfig, folder: Path, as_json: bool) -> None:
    from edge.server.triton import write_triton

    for model in write_triton(config, folder):
        rows = f"batches of up to {model.max_batch}" if model.max_batch else "row by row: its first axis is fixed"
        progress(f"{model.name}: {rows}")
    _say_written([folder], as_json)


def _say_written(paths: Sequence[Path], as_json: bool) -> None:
    if as_json:
        print_json({"written": [str(path) for path in paths]})
        return
    for path in paths:
        click.echo(path)


def _serve(config: ServerConfig, as_json: bool) -> None:
    check_address(config)
    settled = check_models(config, progress)
    with serving(settled, progress) as door, _stopping() as stop:
        progress(f"serving {', '.join(f'{door.url}/v2/models/{model.label}' for model in settled.models)}")
        if as_json:
            print_json({"url": door.url, "models": [model.label for model in settled.models]})
        else:
            click.echo(door.url)
        while not stop.wait(0.5):
            if door.process.poll() is not None:
                raise TargetError(f"the server's HAProxy ended with {door.process.returncode}; start it again")
        progress(f"stopping: answering what was accepted, for at most {settled.drain_seconds:g} s")
        if not door.drain(settled.drain_seconds):
            raise TargetError(f"requests were still running after {settled.drain_seconds:g} s; they were cut off")


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, old in before.items():
            signal.signal(number, old)
