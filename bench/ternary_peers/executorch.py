"""XNNPACK through ExecuTorch: `.pte` files of one linear layer, quantized by torchao as its documentation says.

Activations get 8-bit codes of every row's own range at run time.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.ternary_peers import Missing, Peer, Prepared, Problem
from edge.versions import installed_version


def _prepare(bits: int, problem: Problem, threads: int) -> Prepared:
    try:
        import torch
        import torchao  # noqa: F401

        from edge.runtimes.executorch import bindings, set_threads
    except ImportError as error:
        raise Missing(f"executorch cannot be imported ({error})") from None
    torch.set_num_threads(threads)
    content = _file(problem, bits)
    set_threads(threads)
    native = bindings()
    program = native._load_program_from_buffer(
        content, enable_etdump=False, debug_buffer_size=0, program_verification=native.Verification.Minimal
    )
    method = program.load_method("forward")
    inputs = [torch.from_numpy(np.ascontiguousarray(problem.activations))]
    found: list[Any] = []

    def run() -> None:
        found[:] = method.call(inputs, clone_outputs=False)

    def result() -> NDArray[np.float32]:
        return np.array(found[0].numpy())

    stored = problem.case.weights * bits / 8 + 4 * problem.case.outputs
    return Prepared(run, result, 8 * stored / problem.case.weights, stored, keeps=(content, program, method, inputs))


def _file(problem: Problem, bits: int) -> bytes:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_
    from torchao.quantization.granularity import PerAxis
    from torchao.quantization.quant_primitives import MappingType

    case = problem.case
    layer = torch.nn.Linear(case.columns, case.outputs, bias=False, device="meta")
    weight = torch.from_numpy(problem.trits * problem.scale[:, None])
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    # The mapping whose largest code is the largest weight; the default one changes ternary weights.
    config = Int8DynamicActivationIntxWeightConfig(
        weight_dtype=getattr(torch, f"int{bits}"),
        weight_granularity=PerAxis(0),
        weight_mapping_type=MappingType.SYMMETRIC_NO_CLIPPING_ERR,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_(layer, config)
        exported = torch.export.export(layer.eval(), (torch.zeros(case.rows, case.columns),))
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        program = lowered.to_executorch()
    operators = [entry.name for entry in program.executorch_program.execution_plan[0].operators]
    if operators:
        raise Missing(f"XNNPACK did not take the whole layer: {', '.join(operators)} are left")
    return bytes(program.buffer)


PEERS = tuple(Peer(f"XNNPACK int{bits} (ExecuTorch)", functools.partial(_prepare, bits)) for bits in (8, 4))


def version() -> str:
    """Return the packages and their versions."""
    return f"executorch {installed_version('executorch')} (torchao {installed_version('torchao')})"
