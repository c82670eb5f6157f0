"""`edge sdk list` and `edge sdk install`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from edge.cli import json_option, print_json, progress
from edge.sdk import SDKS, Sdk
from edge.sdk.install import adopt_folder, find_sdks, install_sdk


@click.group("sdk")
def sdk_command() -> None:
    """List and install vendors' SDKs: versioned, hash-pinned folders in the cache, never in the environment."""


@sdk_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the SDKs, what they are under, and whether they are installed."""
    rows = [
        {
            "name": entry.name,
            "group": entry.group,
            "title": entry.title,
            "version": entry.version,
            "licence": entry.licence,
            "status": "installed" if not entry.lacking() else "absent" if not entry.root.exists() else "damaged",
            "command": entry.command,
        }
        for entry in SDKS.values()
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("sdk", "what it is", "status", "licence", "command", header_style="bold")
    for row in rows:
        table.add_row(row["name"], row["title"], row["status"], row["licence"], row["command"])
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


@sdk_command.command("install")
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), help="Use your own folder instead of the published wheels.")
@json_option
def install_command(name: str, root: Path | None, as_json: bool) -> None:
    """Install the SDK of that NAME, or every SDK of the group of that NAME, into the cache."""
    found = find_sdks(name)
    for entry in found:
        _show_licence(entry)
    if root is not None:
        folders = {name: str(adopt_folder(name, root))}
    else:
        folders = {entry.name: str(_install(entry)) for entry in found}
    if as_json:
        print_json(folders)
        return
    for installed, folder in folders.items():
        click.echo(f"{installed}: {folder}")


def _install(entry: Sdk) -> Path:
    if not entry.lacking():
        progress(f"{entry.name}: installed already")
    elif entry.wheels:
        progress(f"{entry.name}: {', '.join(str(wheel.source) for wheel in entry.wheels)}")
    folder = install_sdk(entry)
    if entry.licence_file:
        progress(f"{entry.name}: read its licence in {folder / entry.licence_file}")
    return folder


def _show_licence(entry: Sdk) -> None:
    progress(f"{entry.title} is {entry.vendor}'s, under {entry.licence}; whoever installs it accepts these terms")
