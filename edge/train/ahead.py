"""Batches that are prepared while the one before is computed: in a thread, or by several processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from edge.train.data.stream import use_one_core
from edge.train.study import Batch, Stream

_AHEAD = 2  # batches that each worker makes before they are asked for
Places = Sequence[Sequence[int]]  # of every batch


@contextmanager
def batches_ahead(stream: Stream, places: Places, workers: int) -> Iterator[Iterator[Batch]]:
    """Give the batches of some places in order, the same ones however many workers there are; 0 is a thread."""
    if workers:
        yield _by_processes(stream, places, workers)
        return
    from threadpoolctl import threadpool_limits

    pool = ThreadPoolExecutor(max_workers=1)
    try:
        with threadpool_limits(1, user_api="blas"):  # numpy's threads would spin on the cores that torch trains on
            yield _by_thread(pool, stream, places)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _by_thread(pool: ThreadPoolExecutor, stream: Stream, places: Places) -> Iterator[Batch]:
    waiting: Future[Batch] | None = None
    for chosen in places:
        coming = pool.submit(stream.batch, chosen)
        if waiting is not None:
            yield waiting.result()
        waiting = coming
    if waiting is not None:
        yield waiting.result()


def _by_processes(stream: Stream, places: Places, workers: int) -> Iterator[Batch]:
    from torch.utils.data import DataLoader

    loader: DataLoader[Batch] = DataLoader(
        _Batches(stream),  # type: ignore[arg-type]  # it has no length
        batch_size=None,
        sampler=places,
        num_workers=workers,
        multiprocessing_context="spawn",  # a fork of OpenCV's or torch's threads may stand still
        prefetch_factor=_AHEAD,
        worker_init_fn=use_one_core,
    )
    yield from loader


class _Batches:
    """Stand for a data set whose items are batches."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __getitem__(self, places: Sequence[int]) -> Batch:
        return self._stream.batch(places)
