"""Batches from worker processes: each worker keeps to its core."""

import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_info

from edge.train.data.stream import stream


class Threads:
    """An endless sequence that says how many threads the libraries of its process may use."""

    def __getitem__(self, index):
        np.linalg.norm(np.eye(4) @ np.eye(4))
        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        return {"blas": max(blas), "torch": torch.get_num_threads(), "cv2": cv2.getNumThreads()}


def test_a_worker_uses_one_thread(monkeypatch):
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(variable, "2")
    found = list(stream(Threads(), batch=1, collate=list, count=2, workers=2))
    assert found == [[{"blas": 1, "torch": 1, "cv2": 1}]] * 2
