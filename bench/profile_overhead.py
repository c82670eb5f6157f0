"""`python -m bench.profile_overhead`: what the harness adds to a run, beside a bare loop in the same process.

Blocks of runs that nothing watches alternate with blocks that the harness times and prints, on an ONNX Runtime session
of about one millisecond.
"""

from __future__ import annotations

import argparse
import datetime
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge.profile.board.loop import Events, Limits, repeat
from edge.profile.events import read_events
from edge.profile.machine import host_name
from edge.profile.statistics import ratio_interval

BLOCK = 50


def main(arguments: list[str] | None = None) -> int:
    """Print the ratio of a watched run to a bare one; returns 1 if the harness adds a percent or more."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile_overhead", description=__doc__)
    parser.add_argument("--blocks", type=int, default=200, help="of each kind")
    parser.add_argument("--width", type=int, default=320, help="of the matrix product that is the model")
    options = parser.parse_args(arguments)
    run = _model(options.width)
    for _ in range(2 * BLOCK):
        run()
    bare, watched = [], []
    for _ in range(options.blocks):
        bare.append(np.array([_bare(run)]))
        watched.append(np.array([_watched(run)]))
    ratio = float(np.median(np.concatenate(watched)) / np.median(np.concatenate(bare)))
    low, high = ratio_interval(watched, bare) or (ratio, ratio)
    print(f"{host_name()}, {datetime.date.today()}: {options.blocks} blocks of {BLOCK} runs of each kind, interleaved")
    print(f"bare {np.median(bare):.4f} ms, watched {np.median(watched):.4f} ms: {ratio:.4f} [{low:.4f}, {high:.4f}]")
    return 0 if ratio < 1.01 else 1


def _bare(run: Callable[[], Any]) -> float:
    start_ns = time.perf_counter_ns()
    for _ in range(BLOCK):
        run()
    return (time.perf_counter_ns() - start_ns) / BLOCK / 1e6


def _watched(run: Callable[[], Any]) -> float:
    stream = io.StringIO()
    repeat(run, Limits(min_runs=BLOCK, min_seconds=0.0), Events(stream))
    return float(np.mean(read_events(stream.getvalue()).runs_ns)) / 1e6


def _model(width: int) -> Callable[[], Any]:
    import onnxruntime
    from onnx import TensorProto, helper, save

    square = helper.make_tensor_value_info("x", TensorProto.FLOAT, [width, width])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [width, width])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], "product", [square], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        save(model, str(path))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {"x": np.random.default_rng(0).random((width, width), dtype=np.float32)}
    return lambda: session.run(None, inputs)


if __name__ == "__main__":
    sys.exit(main())
