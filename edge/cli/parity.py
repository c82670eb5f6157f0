"""How far outputs are apart, as text; `edge verify` says it of the eager model and of a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge.artifact import OutputParity, TaskParity


def parity_lines(outputs: Sequence[OutputParity], task: TaskParity | None, reason: str) -> Iterator[str]:
    """Yield a line for every output, one for the task's metric and one for the reason, where they are known."""
    for output in outputs:
        yield (
            f"  {output.name}: max abs {output.max_abs:.3g} of {output.scale:.3g}, "
            f"PSNR {output.psnr_db:.1f} dB, cosine {output.cosine:.7f}"
        )
    if task:
        yield f"  {task.metric} {task.value:.4f} (limit {task.limit:g})"
    if reason:
        yield f"  {reason}"
