"""`edge doctor`."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass

import click

from convert.targets import TARGETS
from edge.cli import json_option, print_json
from edge.report.records import environment
from edge.store import RESULTS, cache_root, folder_bytes, prune


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    good: bool
    found: str
    mend: str = ""


def checks() -> list[Check]:
    """Look at the interpreter, the clients, the cache and every target."""
    here = environment()
    npm = shutil.which("npm")
    rows = [
        Check("python", True, f"{here.python} on {here.system}"),
        Check("machine", True, here.device),
        Check(
            "npm", npm is not None, npm or "not installed",
            "only blazepose-lite and blazepose-heavy need it: apt-get install npm (Debian), brew install node (macOS)",
        ),
        _cache(),
    ]  # fmt: skip
    rows += [_target(name) for name in TARGETS]
    return rows


def _cache() -> Check:
    root = cache_root()
    parent = next(path for path in (root, *root.parents) if path.exists())
    free_gb = shutil.disk_usage(parent).free / 1e9
    found = f"{root}: {folder_bytes(root) / 1e6:.0f} MB used, {free_gb:.0f} GB free on its disk"
    writable = os.access(parent, os.W_OK)
    return Check("cache", writable and free_gb > 1, found, "set EDGE_CACHE to a folder on a disk with space")


def _target(name: str) -> Check:
    target = TARGETS[name]
    status = target.status()
    mend = status.partition(": ")[2]
    return Check(f"target {name}", status == "ready", status.partition(":")[0], mend)


@click.command("doctor")
@click.option(
    "--prune", "pruned", is_flag=True, help="Delete the results of earlier runs from the cache; weights stay."
)
@json_option
def doctor_command(pruned: bool, as_json: bool) -> int:
    """Say what this machine has, what it lacks, and the command that mends it; exit 3 if something lacks."""
    if pruned:
        freed_bytes = prune()
        if as_json:
            print_json({"cache": str(cache_root()), "freed_bytes": freed_bytes})
        else:
            click.echo(f"{cache_root()}: {freed_bytes / 1e6:.1f} MB freed ({', '.join(RESULTS)})")
        return 0
    rows = checks()
    if as_json:
        print_json({"checks": [asdict(row) for row in rows], "environment": environment()})
    else:
        width = max(len(row.name) for row in rows)
        for row in rows:
            click.echo(f"{'ok  ' if row.good else 'MISS'} {row.name:{width}}  {row.found}")
            if not row.good and row.mend:
                click.echo(f"     {'':{width}}  → {row.mend}")
        for package, version in environment().packages.items():
            click.echo(f"     {package:{width}}  {version}")
    return 0 if all(row.good for row in rows) else 3
