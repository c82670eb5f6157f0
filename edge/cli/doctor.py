"""`edge doctor`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import click

from convert.targets import Target, families
from edge.cli import json_option, print_json
from edge.report.records import environment
from edge.sdk import SDKS, Sdk
from edge.store import RESULTS, cache_root, folder_bytes, prune
from edge.versions import installed_version

_EXECUTED = {
    "native": "its artifacts run here",
    "emulated": "its artifacts run here on an emulator of the chip",
    "reference": "a reference interpreter stands in for its runtime here",
    "no": "its artifacts cannot run here",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; what is `optional` may lack without the machine lacking anything."""

    name: str
    good: bool
    found: str
    mend: str = ""
    optional: bool = False

    @property
    def mark(self) -> str:
        """Return the word that starts the check's line."""
        return "ok" if self.good else "-" if self.optional else "MISS"


def checks() -> list[Check]:
    """Look at the interpreter, the clients and compilers, the cache, every target family and every SDK."""
    here = environment()
    npm = shutil.which("npm")
    rows = [
        Check("python", True, f"{here.python} on {here.system}"),
        Check("machine", True, here.device),
        Check(
            "npm", npm is not None, npm or "not installed",
            "only blazepose-lite and blazepose-heavy need it: apt-get install npm (Debian), brew install node (macOS)",
        ),
        _client("adb", "edge profile --device adb needs it: apt-get install adb, brew install android-platform-tools"),
        _client("ssh", "edge profile --device ssh:HOST needs it: apt-get install openssh-client"),
        _client("c++", "ternary kernels and edge profile --harness native need it: apt-get install g++"),
        _client("aarch64-linux-gnu-g++", "ExecuTorch on phones and boards is profiled with what it compiles: "
                "apt-get install g++-aarch64-linux-gnu"),
        _package("ray", "edge serve", "server"),
        _package("httpx", "edge.client and edge verify --server", "client"),
        _cache(),
    ]  # fmt: skip
    rows += [_family(name, members) for name, members in families().items()]
    rows += [_sdk(entry) for entry in SDKS.values()]
    return rows


def _client(name: str, mend: str) -> Check:
    """Look for a program that single commands need."""
    found = shutil.which(name)
    return Check(name, found is not None, found or "not installed", mend, optional=True)


def _package(name: str, user: str, extra: str) -> Check:
    """Look for a Python package that single commands need."""
    version = installed_version(name)
    mend = f"{user} needs it: pip install 'edge-deployment-kit[{extra}]'"
    return Check(name, bool(version), version or "not installed", mend, optional=True)


def _cache() -> Check:
    root = cache_root()
    parent = next(path for path in (root, *root.parents) if path.exists())
    free_gb = shutil.disk_usage(parent).free / 1e9
    found = f"{root}: {folder_bytes(root) / 1e6:.0f} MB used, {free_gb:.0f} GB free on its disk"
    writable = os.access(parent, os.W_OK)
    return Check("cache", writable and free_gb > 1, found, "set EDGE_CACHE to a folder on a disk with space")


def _family(name: str, members: Sequence[Target]) -> Check:
    """Look at the first of a family's targets: its chips share packages and SDKs."""
    target = members[0]
    status = target.status()
    chips = f" for {len(members)} chips" if len(members) > 1 else ""
    if status == "ready":
        return Check(f"target {name}", True, f"ready{chips}; {_EXECUTED[target.execution]}")
    lacking, _, mend = status.partition(": ")
    return Check(f"target {name}", False, f"{lacking}{chips}", mend, optional=_waits_for_vendor(target))


def _waits_for_vendor(target: Target) -> bool:
    """Say whether an SDK that no command can fetch is among what a target lacks."""
    return any(not SDKS[name].wheels and SDKS[name].lacking() for name in target.sdks)


def _sdk(entry: Sdk) -> Check:
    """Look at an SDK's folder: an absent one is told of by the targets that need it, a damaged one is a fault."""
    if not entry.root.exists():
        return Check(f"sdk {entry.name}", False, f"{entry.title}: not installed", entry.command, optional=True)
    lacking = entry.lacking()
    found = lacking.partition(": ")[0] + " is missing" if lacking else f"{entry.title} in {entry.root}"
    return Check(f"sdk {entry.name}", not lacking, found, entry.command)


@click.command("doctor")
@click.option(
    "--prune", "pruned", is_flag=True, help="Delete the results of earlier runs from the cache; weights stay."
)
@json_option
def doctor_command(pruned: bool, as_json: bool) -> int:
    """Say what this machine has, what it lacks, and the one command that mends it.

    A line each for the clients, the cache, every target family and every SDK. Ends with 3 if something lacks that its
    command fetches (MISS). What only a chip's vendor hands out, and an SDK that is not installed as such, is marked
    with a dash and does not count: a family that needs a published SDK counts itself.
    """
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
            click.echo(f"{row.mark:4} {row.name:{width}}  {row.found}")
            if not row.good and row.mend:
                click.echo(f"     {'':{width}}  → {row.mend}")
        for package, version in environment().packages.items():
            click.echo(f"     {package:{width}}  {version}")
    return 0 if all(row.good or row.optional for row in rows) else 3
