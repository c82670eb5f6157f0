"""Vendors' compilers and libraries, each in a folder of its own outside the Python environment.

    CACHE/sdk/<name>/    an SDK made of published wheels, or a link to the user's own folder

Different runtimes need different versions of one SDK, and some conflict with the environment's packages: a compile runs
in a child process with the variables of just the SDKs that it needs. Nothing of a vendor's is redistributed: the
folders are made on the user's machine from packages that the vendor publishes, pinned by hash.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import MissingError, TargetError
from edge.packages import Package
from edge.registry import Registry
from edge.store import cache_root


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """Pin one published wheel and say which of its members go where in the SDK's folder."""

    package: str
    version: str
    sha256: str
    members: Mapping[str, str]  # prefix in the wheel → folder in the SDK; the longest prefix decides

    @property
    def source(self) -> Package:
        """Return what pip downloads."""
        return Package(registry="pypi", package=self.package, version=self.version)


def nothing_more(root: Path) -> None:
    """Stand for an SDK that its wheels complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """Describe one version of a vendor's SDK: what it is made of, what must be in it, what its users need."""

    name: str
    group: str  # what `edge sdk install` takes to get it together with its siblings
    title: str
    vendor: str
    version: str
    licence: str  # its name and terms in one line
    licence_file: str = ""  # where to read it, below the folder
    wheels: tuple[Wheel, ...] = ()  # empty: only the vendor hands it out
    obtain: str = ""  # where a user gets it, if only the vendor hands it out
    hosts: tuple[tuple[str, str], ...] = (("Linux", "x86_64"),)  # systems and machines that it runs on
    required: tuple[str, ...]  # files below the folder that must be there
    marker: tuple[str, bytes] | None = None  # a file and the bytes in it that tell the version
    variables: Mapping[str, str] = field(default_factory=dict)  # "{root}" stands for the folder
    complete: Callable[[Path], None] = field(repr=False, default=nothing_more)  # adds what the wheels lack

    @property
    def root(self) -> Path:
        """Return the folder, whether it is there or not."""
        return cache_root() / "sdk" / self.name

    @property
    def command(self) -> str:
        """Return the command that installs it."""
        if self.wheels:
            return f"edge sdk install {self.group}"
        return f"edge sdk install {self.name} --root DIR ({self.obtain})"

    def lacking(self) -> str:
        """Return `<what is missing>: <command that gets it>`, or an empty string if the SDK is whole."""
        if (platform.system(), platform.machine()) not in self.hosts:
            return f"{self.title}, which runs on {' '.join(self.hosts[0])}: edge deploy on such a machine"
        if not self.root.exists():
            return f"{self.title}: {self.command}"
        missing = self.missing_files(self.root)
        return f"{missing[0]} of {self.title} in {self.root}: {self.command}" if missing else ""

    def missing_files(self, root: Path) -> list[str]:
        """Return the required files that a folder does not have."""
        return [name for name in self.required if not (root / name).exists()]

    def environment(self) -> dict[str, str]:
        """Return the variables that its users' processes need; search paths keep what they held.

        Raises MissingError if the SDK is not installed or lost a file.
        """
        if lacking := self.lacking():
            raise MissingError(f"{self.title} is needed: {lacking}")
        return {name: self._value(name, text) for name, text in self.variables.items()}

    def _value(self, name: str, text: str) -> str:
        value = text.format(root=self.root.resolve())
        before = os.environ.get(name, "") if name in ("LD_LIBRARY_PATH", "PYTHONPATH", "PATH") else ""
        return f"{value}{os.pathsep}{before}" if before else value

    def identity(self) -> str:
        """Return what tells this folder's content from another's: its pins, or a user's folder's files and dates."""
        if not self.root.exists():
            return ""
        if not self.root.is_symlink():
            return " ".join((self.version, *(wheel.sha256 for wheel in self.wheels)))
        files = [(self.root / name).stat() for name in self.required if (self.root / name).exists()]
        return f"{self.root.resolve()} {[(found.st_size, found.st_mtime_ns) for found in files]}"

    def check(self, root: Path) -> None:
        """Raise MissingError for a folder that lacks files, TargetError for one of another version."""
        if missing := self.missing_files(root):
            raise MissingError(
                f"{root} is not {self.title}: {missing[0]} is missing"
                + (f" (and {len(missing) - 1} more)" if missing[1:] else "")
                + f"; get it with {self.command}"
            )
        if self.marker is not None:
            name, needle = self.marker
            if needle not in (root / name).read_bytes():
                raise TargetError(
                    f"{root / name} is not of version {self.version}: {needle.decode()} is not in it; "
                    f"get {self.title} with {self.command}"
                )


SDKS: Registry[Sdk] = Registry("SDK", "edge.sdk", command="edge sdk list")


def sdk(define: Callable[[], Sdk]) -> Callable[[], Sdk]:
    """Register the SDK that `define` describes under its name."""
    entry = define()
    SDKS.add(entry.name, entry)
    return define
