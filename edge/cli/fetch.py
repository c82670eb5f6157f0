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
        if not entry.files:
            hint = f" ({entry.checkpoint_hint})" if entry.checkpoint_hint else ""
            raise UsageError(f"{name} has no weights in a package; pass its published file with --checkpoint{hint}")
        parts = (entry, *([MODELS[entry.companion]] if entry.companion else []))
        for owner, file in [(part.name, file) for part in parts for file in part.files]:
            if not is_fetched(file):
                progress(f"fetch    {file.name} from {file.sources[0]}")
            path = fetch_file(file)
            found.append({"model": owner, "path": str(path), "sha256": file.sha256, "bytes": file.size_bytes})
    if as_json:
        print_json(found)
        return
    for row in found:
        click.echo(f"{row['model']}  {row['path']}")
