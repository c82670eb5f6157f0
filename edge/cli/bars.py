"""Progress bars on a terminal for what child processes say of themselves; elsewhere nothing is drawn."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class _Bars:
    """One bar for each thing that is being done; made when the first is heard of."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._drawn: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far `what` is; a finished one disappears."""
        with self._guard:
            drawn = self._drawn or self._start()
            task = self._tasks.get(what)
            if task is None:
                task = self._tasks[what] = drawn.add_task(what, total=total)
            drawn.update(task, completed=done, total=total)
            if done >= total:
                drawn.remove_task(self._tasks.pop(what))

    def stop(self) -> None:
        """Clear what is drawn."""
        with self._guard:
            if self._drawn is not None:
                self._drawn.stop()

    def _start(self) -> Progress:
        from rich.console import Console
        from rich.progress import Progress

        self._drawn = Progress(console=Console(stderr=True), transient=True)
        self._drawn.start()  # from here on lines that are printed go above the bars
        return self._drawn


@contextlib.contextmanager
def bars() -> Iterator[None]:
    """Draw the progress of jobs on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from edge.jobs import listening

    drawn = _Bars()
    try:
        with listening(drawn):
            yield
    finally:
        drawn.stop()
