"""Batches from worker processes, in the order of their indices however many workers there are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from edge.train.data.sample import Endless

Item = TypeVar("Item")
_AHEAD = 2  # batches that each worker makes before they are asked for


def stream(
    source: Endless[Item],
    *,
    batch: int,
    collate: Callable[[Sequence[Item]], Any],
    start: int = 0,
    count: int | None = None,
    workers: int = 0,
) -> Iterator[Any]:
    """Yield batches of `batch` items from index `start` on, `count` items or for ever.

    `collate` joins a list of items; numpy arrays in a dictionary of its become tensors. With workers, source and items
    travel between processes, and a script's own statements belong under `if __name__ == "__main__":`. A training that
    did n batches goes on with start = n · batch.
    """
    from torch.utils.data import DataLoader

    places: Iterable[int] = itertools.count(start) if count is None else range(start, start + count)
    loader: DataLoader[Any] = DataLoader(
        _Indexed(source),  # type: ignore[arg-type]  # it has no length
        batch_size=batch,
        sampler=places,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,  # a fork of OpenCV's or torch's threads may stand still
        collate_fn=_Tensors(collate),
        worker_init_fn=use_one_core,
        prefetch_factor=_AHEAD if workers else None,
    )
    yield from loader


class _Indexed:
    def __init__(self, source: Endless[Any]) -> None:
        self._source = source

    def __getitem__(self, index: int) -> Any:
        return self._source[index]


class _Tensors:
    def __init__(self, collate: Callable[[Sequence[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, items: Sequence[Any]) -> Any:
        import numpy as np
        import torch

        joined = self._collate(items)
        if not isinstance(joined, dict):
            return joined
        return {
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in joined.items()
        }


def use_one_core(_: int) -> None:
    """Let a loader's worker use one core: there are as many workers as cores are meant to be used.

    BLAS is told, too: its threads wait for each other by spinning, which halves what two workers render on two cores.
    """
    import cv2
    import torch
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
