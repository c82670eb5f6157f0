"""The bar that shows how far a training is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.train.rounds import Bar


@contextlib.contextmanager
def training_bar() -> Iterator[Bar]:
    """Show a bar on standard error, from the first step on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from edge.train.rounds import Bar

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("loss {task.fields[loss]}"))
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    task = shown.add_task("", start=False, loss="")

    def begin(total: int, done: int) -> None:
        shown.start()
        shown.start_task(task)
        shown.update(task, total=total, completed=done)

    def step(done: int, loss: float) -> None:
        shown.update(task, completed=done, loss=f"{loss:.5f}")

    try:
        yield Bar(begin=begin, step=step)
    finally:
        shown.stop()
