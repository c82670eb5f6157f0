"""The curves of a training: Fabric's CSV and TensorBoard loggers, which a resumed training goes on with."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CURVES = "metrics.csv"
_ROWS, _EVENTS = "logs", "tensorboard"  # folders of their own: Fabric's CSV logger wants an empty one


class Curves:
    """Log numbers by step into a training's logs/metrics.csv and, where tensorboard is installed, its tensorboard/."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open the logs of a training that goes on after `step` steps; rows of later ones are taken back."""
        from lightning_fabric.loggers import CSVLogger

        earlier = [(at, row) for at, row in read_curves(folder) if at <= step]
        (folder / _ROWS / CURVES).unlink(missing_ok=True)
        rows = CSVLogger(folder, name=_ROWS, version="", flush_logs_every_n_steps=1 << 62)
        for at, row in earlier:
            rows.log_metrics(dict(row), at)
        rows.save()
        self._loggers: list[Any] = [rows]
        if importlib.util.find_spec("tensorboard") or importlib.util.find_spec("tensorboardX"):
            from lightning_fabric.loggers import TensorBoardLogger

            events = TensorBoardLogger(folder, name=_EVENTS, version="", purge_step=step + 1 if step else None)
            self._loggers.append(events)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers of a step."""
        for logger in self._loggers:
            logger.log_metrics(dict(values), step)

    def flush(self) -> None:
        """Write down what was added."""
        for logger in self._loggers:
            logger.save()

    def close(self) -> None:
        """Write down what was added and close the files."""
        for logger in self._loggers:
            logger.finalize("success")


def read_curves(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Return (step, numbers) of a training's logs in order; none without one."""
    path = folder / _ROWS / CURVES
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if (row.get("step") or "").isdigit()]
    return [
        (int(row["step"]), {name: float(value) for name, value in row.items() if name and name != "step" and value})
        for row in rows
    ]
