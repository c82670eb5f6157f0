"""What this machine's cores reach in small kernels: the roofs of the roofline, measured in a process of its own.

Compute is the best of several products of square matrices: float32 by numpy's BLAS, 8-bit by ONNX Runtime where it is
installed. Bandwidth is the best of several copies of buffers far larger than the caches; a copied byte is read once
and written once.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import TargetError
from edge.jobs import Job, run_job
from edge.profile.events import read_events
from edge.profile.records import Peaks
from edge.threads import VARIABLE, thread_count

SIZE = 384  # of the matrices: they lie in the caches, and one product is short enough to pass undisturbed
COPIED_BYTES = 64 << 20  # larger than the last-level caches of phones and most desktops
SECONDS = 1.0  # of tries, of which the best counts
FEWEST = 5
TIMEOUT_S = 120.0
_LIBRARIES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def measure_peaks(threads: int) -> Peaks:
    """Measure this machine with so many threads; raises what the process raises."""
    with tempfile.TemporaryDirectory(prefix="edge-peaks-") as folder:
        environment = {VARIABLE: str(threads), **{name: "1" for name in _LIBRARIES}}
        job = Job(
            function="edge.profile.peaks:peaks_job", payload={}, log=Path(folder) / "log", timeout_s=TIMEOUT_S,
            environment=environment,
        )  # fmt: skip
        answer = run_job(job)
    return Peaks(flops_per_s=answer["flops_per_s"], bytes_per_s=answer["bytes_per_s"], how=answer["how"])


def read_peaks(lines: Iterable[str]) -> Peaks:
    """Return the peaks that the native runner's `--peaks` printed; raises TargetError if it printed none."""
    found = read_events("\n".join(lines)).peaks
    if found is None:
        raise TargetError("the native runner printed no peaks")
    return found


def peaks_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Measure compute and bandwidth in this process; the environment says with how many threads."""
    threads = thread_count()
    flops = {"float32": _together(threads, _float_product)}
    how = [f"{threads} threads; the best in {SECONDS:g} s each", f"float32 by numpy's matrix product of {SIZE}×{SIZE}"]
    integer = _together(threads, _integer_product)
    if integer:
        flops["int8"] = integer
        how.append("8-bit by ONNX Runtime's MatMulInteger")
    how.append(f"copying {COPIED_BYTES >> 20} MiB")
    return {"flops_per_s": flops, "bytes_per_s": _bandwidth(threads), "how": "; ".join(how)}


def _best_s(run: Callable[[], object]) -> float:
    run()
    taken: list[float] = []
    begin = time.perf_counter()
    while len(taken) < FEWEST or time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)


def _together(threads: int, make: Callable[[], Callable[[], object] | None]) -> float:
    """Return the operations a second of so many threads, each with a product of its own; 0 without one to run.

    Threads that wait for each other would be measured with whatever takes a core from one of them.
    """
    products = [run for run in (make() for _ in range(threads)) if run is not None]
    if not products:
        return 0.0
    with ThreadPoolExecutor(threads) as pool:  # products are computed without the interpreter's lock
        return sum(2.0 * SIZE**3 / seconds for seconds in pool.map(_best_s, products))


def _float_product() -> Callable[[], object]:
    generator = np.random.default_rng(0)
    first, second = (generator.random((SIZE, SIZE), dtype=np.float32) for _ in range(2))
    result = np.empty_like(first)
    return lambda: np.matmul(first, second, out=result)


def _integer_product() -> Callable[[], object] | None:
    """Return a product of 8-bit matrices; None where ONNX Runtime or onnx is not installed."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    generator = np.random.default_rng(0)
    weights = numpy_helper.from_array(generator.integers(-128, 128, (SIZE, SIZE), dtype=np.int8), "w")
    given = helper.make_tensor_value_info("x", TensorProto.UINT8, [SIZE, SIZE])
    made = helper.make_tensor_value_info("y", TensorProto.INT32, [SIZE, SIZE])
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])], "peak", [given], [made], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = generator.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    return lambda: session.run(None, {"x": x})


def _bandwidth(threads: int) -> float:
    source, target = np.ones(COPIED_BYTES // 8), np.zeros(COPIED_BYTES // 8)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:  # numpy copies without the interpreter's lock
        seconds = _best_s(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))
    return 2.0 * COPIED_BYTES / seconds
