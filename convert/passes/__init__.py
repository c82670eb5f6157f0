"""Graph passes over exported programs: ExportedProgram → ExportedProgram, one concern a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING

from edge.artifact import Step

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from convert.program import Program


@dataclass(frozen=True, slots=True)
class Pass:
    """Name a rewrite and the runtimes that gain from it; an empty tuple means all."""

    name: str
    rewrite: Callable[[GraphModule], int]
    runtimes: tuple[str, ...] = ()


def passes_for(target_runtime: str) -> tuple[Pass, ...]:
    """Return the passes for a runtime in the order they run: clean up, fuse, then reshape the work."""
    from convert.passes import activations, batch_norm, constants, convolutions, identities, padding, permutes

    ordered = (
        Pass("fold_constants", constants.fold_constants),
        Pass("remove_identities", identities.remove_identities),
        Pass("merge_permutes", permutes.merge_permutes),
        Pass("fold_batch_norm", batch_norm.fold_batch_norm),
        Pass("fuse_padding", padding.fuse_padding),
        Pass("trim_padding_taps", padding.trim_padding_taps),
        Pass("fuse_hard_sigmoid", activations.fuse_hard_sigmoid),
        Pass("fuse_hard_swish", activations.fuse_hard_swish),
        Pass("pool_globally", activations.pool_globally),
        Pass("fold_hard_sigmoid", activations.fold_hard_sigmoid, ("executorch",)),
        Pass("project_before_resize", convolutions.project_before_resize),
        Pass("split_single_output", convolutions.split_single_output, ("executorch",)),
    )
    return tuple(entry for entry in ordered if not entry.runtimes or target_runtime in entry.runtimes)


def optimize(program: Program, target_runtime: str) -> Program:
    """Return a program that computes the same and suits a runtime; one step records what was changed and how often."""
    from convert.passes._rewrite import apply_rewrites

    chosen = passes_for(target_runtime)
    exported, counts = apply_rewrites(program.exported, [entry.rewrite for entry in chosen])
    done: dict[str, str | int | float | bool] = {entry.name: n for entry, n in zip(chosen, counts, strict=True) if n}
    if not done:
        return program
    step = Step(tool="convert.passes", version=_version(), options=done)
    return replace(program, exported=exported, steps=(*program.steps, step))


def _version() -> str:
    try:
        return metadata.version("edge-deployment-kit")
    except metadata.PackageNotFoundError:
        return "source"
