"""Lower a program to Qualcomm's delegate and keep what its compiler says about operators that it refuses."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from convert.targets._executorch import lower
from convert.targets._qnn_widths import converted_gates
from edge.errors import TargetError
from edge.runtimes.executorch_qnn import captured_output, watched_output

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

BACKEND = "QnnBackend"
_NO_VISITOR = "No node visitor"


def lower_to_qnn(name: str, exported: ExportedProgram, chip: str, *, half: bool) -> tuple[Any, dict[str, str]]:
    """Return the EdgeProgramManager and, by node name, why operators were refused.

    Raises TargetError with the first error that the backend reports, if it fails.
    """
    from executorch.backends.qualcomm.serialization.qc_schema import QnnExecuTorchBackendType
    from executorch.backends.qualcomm.utils.qnn_manager_lifecycle import QnnManagerContext
    from executorch.backends.qualcomm.utils.utils import get_qnn_pass_manager_cls, qnn_edge_config

    reasons: dict[str, str] = {}
    specs = _compiler_specs(chip, half=half)
    manager = get_qnn_pass_manager_cls(QnnExecuTorchBackendType.kHtpBackend)()
    with watched_output() as output:
        try:
            exported = manager.transform_for_export_pipeline(_without_history(exported))
            passes = manager.get_to_edge_transform_passes(exported, compiler_specs=specs)
            with QnnManagerContext({"forward": specs}), converted_gates():
                lowered = lower(
                    name,
                    exported,
                    [_partitioner(specs, reasons)],
                    transform_passes=passes,
                    compile_config=qnn_edge_config(),
                )
        except Exception as error:  # whatever the backend raises
            said = output.error()
            text = str(error) if isinstance(error, TargetError) else _first_line(error)
            raise TargetError(
                f"{name} cannot be compiled for {chip}: {text}" + (f" (QNN says: {said})" if said else "")
            ) from error
    return lowered, reasons


def _without_history(exported: ExportedProgram) -> ExportedProgram:
    """Drop where each node came from: every later pass copies the whole history again, a tenth of the time."""
    for node in exported.graph.nodes:
        node.meta.pop("from_node", None)
    return exported


def _compiler_specs(chip: str, *, half: bool) -> list[Any]:
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset
    from executorch.backends.qualcomm.utils.utils import (
        generate_htp_compiler_spec,
        generate_qnn_executorch_compiler_spec,
    )

    options = generate_htp_compiler_spec(use_fp16=half)
    specs: list[Any] = generate_qnn_executorch_compiler_spec(QcomChipset[chip], options)
    return specs


def _partitioner(specs: list[Any], reasons: dict[str, str]) -> Any:
    """Return the backend's partitioner with a checker that notes its refusals in `reasons`."""
    from executorch.backends.qualcomm.partition.qnn_partitioner import QnnOperatorSupport, QnnPartitioner
    from executorch.exir.backend.canonical_partitioners.pattern_op_partitioner import (
        generate_partitions_from_list_of_nodes,
    )

    class Checker(QnnOperatorSupport):
        def is_node_supported(self, submodules: Any, node: Node) -> bool:
            if node.op != "call_function":
                return False
            return _note(reasons, node, lambda: bool(super(Checker, self).is_node_supported(submodules, node)))

    class Partitioner(QnnPartitioner):
        def ops_to_not_decompose(self, ep: ExportedProgram) -> Any:
            """Without a filter, ExecuTorch decomposes once and not three times; it spares integer stacks only."""
            operators, spares = super().ops_to_not_decompose(ep)
            return operators, spares if any("stack" in str(node.target) for node in ep.graph.nodes) else None

        def generate_partitions(self, edge_program: Any) -> list[Any]:
            self.op_support_checker = Checker(edge_program, self.compiler_specs_snapshot, set(), set())
            return list(
                generate_partitions_from_list_of_nodes(edge_program.graph_module, op_support=self.op_support_checker)
            )

    return Partitioner(specs)


def _note(reasons: dict[str, str], node: Node, check: Callable[[], bool]) -> bool:
    """Run one check; a refusal is explained by the validator's error, a warning, an exception or the log's line."""
    records: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    logger, handler = logging.getLogger("executorch.backends.qualcomm.partition.qnn_partitioner"), Collect()
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    raised = ""
    try:
        with captured_output() as output, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                accepted = check()
            except Exception as error:  # a builder that cannot express the operator
                accepted, raised = False, f"{type(error).__name__}: {_first_line(error)}"
            said = output.error()
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
    if not accepted:
        warned = next((str(entry.message).split("\n", 1)[0] for entry in caught), "")
        reasons[node.name] = said or warned or raised or _from_log(records)
    return accepted


def _from_log(records: list[str]) -> str:
    if any(_NO_VISITOR in record for record in records):
        return "ExecuTorch's Qualcomm backend has no builder for this operator"
    return "QNN's validator refused it without a word"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
