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
    """Name a rewrite and the target families and precisions that gain from it; an empty tuple means all.

    `executorch` stands for every family of that runtime, `executorch-qnn` for one.
    """

    name: str
    rewrite: Callable[[GraphModule], int]
    families: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()

    def suits(self, family: str, precision: str) -> bool:
        """Tell whether the pass is for a target family in a precision."""
        if self.precisions and precision not in self.precisions:
            return False
        return not self.families or any(f"{family}-".startswith(f"{name}-") for name in self.families)


def passes_for(family: str, precision: str = "fp32") -> tuple[Pass, ...]:
    """Return the passes for a target family in the order they run: clean up, fuse, then reshape the work."""
    from convert.passes import (
        activations,
        batch_norm,
        broadcasts,
        constants,
        convolutions,
        identities,
        layouts,
        padding,
        permutes,
        pools,
        products,
        resize,
    )

    ordered = (
        Pass("fold_constants", constants.fold_constants),
        Pass("remove_identities", identities.remove_identities),
        Pass("broadcast_implicitly", broadcasts.broadcast_implicitly, ("litert", "mediapipe")),
        Pass("merge_permutes", permutes.merge_permutes),
        Pass("linear_by_convolution", layouts.linear_by_convolution),
        Pass("merge_reshapes", layouts.merge_reshapes),
        Pass("fold_batch_norm", batch_norm.fold_batch_norm),
        Pass("batch_norm_by_convolution", batch_norm.batch_norm_by_convolution, _OWN_NORMS),
        Pass("fuse_padding", padding.fuse_padding),
        Pass("trim_padding_taps", padding.trim_padding_taps),
        Pass("fuse_hard_sigmoid", activations.fuse_hard_sigmoid),
        Pass("fuse_hard_swish", activations.fuse_hard_swish),
        Pass("pool_globally", activations.pool_globally),
        Pass("pool_plainly", pools.pool_plainly, ("executorch", "litert", "mediapipe", "onnx-qnn")),
        Pass("fold_hard_sigmoid", activations.fold_hard_sigmoid, _XNNPACK),
        Pass("simplify_resizes", resize.simplify_resizes),
        Pass("project_before_resize", convolutions.project_before_resize),
        Pass("resize_by_products", resize.resize_by_products, _OWN_RESIZES),
        Pass("bicubic_by_products", resize.bicubic_by_products, ("executorch-xnnpack", "litert", "mediapipe")),
        Pass("resize_by_convolution", resize.resize_by_convolution, _VELA),
        Pass("vela_by_products", resize.vela_by_products, _VELA),
        Pass("resize_by_selection", resize.resize_by_selection, ("executorch-qnn", "litert", "mediapipe")),
        Pass("products_by_batch", products.products_by_batch, _XNNPACK),
        Pass("split_single_output", convolutions.split_single_output, _XNNPACK),
        Pass("flatten_softmax", activations.flatten_softmax, (*_XNNPACK, "executorch-ternary")),
        Pass("flatten_gates", activations.flatten_gates, _QNN, ("fp16",)),
    )
    return tuple(entry for entry in ordered if entry.suits(family, precision))


_OWN_NORMS = ("executorch", "litert", "mediapipe", "onnx-qnn")  # where it is a product and a sum, rounded twice
_VELA = ("litert-ethos-u",)
_XNNPACK = ("executorch-xnnpack",)
_QNN = ("executorch-qnn", "onnx-qnn")  # LiteRT gives the same compiler its own reshapes
_OWN_RESIZES = ("executorch", "litert", "mediapipe", "coreml", "onnx-qnn")  # without scale factors or antialiasing


def optimize(program: Program, family: str, precision: str = "fp32") -> Program:
    """Return a program that computes the same and suits a target; one step records what was changed how often.

    A family is a target id without its chip; the name of a runtime asks for what all its families take.
    """
    from convert.passes._rewrite import apply_rewrites

    chosen = passes_for(family, precision)
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
