"""Where a program can go: one file per target family, one `@target` definition per target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge.artifact import Delegation, Needs, Step
from edge.contract import TensorSpec
from edge.errors import MissingError, Refused
from edge.registry import Registry
from edge.versions import installed_version

if TYPE_CHECKING:
    from convert.program import Program

Execution = Literal["native", "emulated", "reference", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a compile function left in its folder: how to call it and how it was made."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: tuple[Step, ...]
    needs: Needs
    delegation: Delegation | None = None


Compile = Callable[["Program", str, Path], Compiled]
Probe = Callable[[], str]


def nothing_missing() -> str:
    """Stand for a target that needs its packages only."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Describe a target; listing it imports nothing heavy, `compile` imports what it needs."""

    id: str
    runtime: str  # a name in edge.runtimes
    summary: str
    precisions: tuple[str, ...]
    packages: tuple[str, ...]  # distributions that compile needs
    extra: str  # the pip extra that installs them
    execution: Execution  # how the artifact can be executed on this machine
    tasks: tuple[str, ...] = ()  # empty: any task
    probe: Probe = field(repr=False, default=nothing_missing)  # "<what is missing>: <command>" beyond packages, or ""
    compile: Compile = field(repr=False)

    def missing_packages(self) -> tuple[str, ...]:
        """Return the distributions that are not installed."""
        return tuple(name for name in self.packages if not installed_version(name))

    def status(self) -> str:
        """Return `ready`, or `needs <package or library>: <command that gets it>`."""
        missing = self.missing_packages()
        if not missing:
            lacking = self.probe()
            return f"needs {lacking}" if lacking else "ready"
        return f"needs {', '.join(missing)}: pip install 'edge-deployment-kit[{self.extra}]'"

    def check(self, precision: str, task: str) -> None:
        """Raise MissingError or Refused if this target cannot make `precision` for `task` here."""
        if self.tasks and task not in self.tasks:
            raise Refused(
                f"{self.id} makes artifacts for {', '.join(self.tasks)}, not for task {task!r}; "
                "litert-cpu takes any task"
            )
        if precision not in self.precisions:
            raise Refused(f"{self.id} has no precision {precision!r}; it has {', '.join(self.precisions)}")
        if (status := self.status()) != "ready":
            raise MissingError(f"{self.id} {status}")


TARGETS: Registry[Target] = Registry("target", "convert.targets", command="edge targets")


def target(
    id: str,
    *,
    runtime: str,
    summary: str,
    precisions: tuple[str, ...],
    packages: tuple[str, ...],
    extra: str,
    execution: Execution,
    tasks: tuple[str, ...] = (),
    probe: Probe = nothing_missing,
) -> Callable[[Compile], Compile]:
    """Register a compile function: (program, precision, empty folder) → Compiled, files in the folder."""

    def decorate(function: Compile) -> Compile:
        entry = Target(
            id=id, runtime=runtime, summary=summary, precisions=precisions, packages=packages, extra=extra,
            execution=execution, tasks=tasks, probe=probe, compile=function,
        )  # fmt: skip
        TARGETS.add(id, entry)
        return function

    return decorate
