"""Which operations of an ML program compute which exported operator: coremltools keeps most of the names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from convert.delegation import operator_nodes
from edge.errors import Refused
from edge.runtimes._mil.program import Function, Operation, Reference

if TYPE_CHECKING:
    from torch.fx import Node

    from convert.program import Program

_SUFFIXES = ("_cast_fp16", "_has_output_shape")  # that coremltools' passes append


def kept_operations(program: Program, function: Function) -> frozenset[str]:
    """Return the operations that compute what the program's recipe keeps; raises Refused for unknown names."""
    nodes = {node.name: node for node in operator_nodes(program)}
    if unknown := [name for name in program.recipe.kept if name not in nodes]:
        raise Refused(f"{program.name} has no operator {unknown[0]!r} to keep; it has {', '.join(list(nodes)[:8])}, …")
    origins = origin_of(function, nodes)
    present = frozenset(origins.values())
    kept = frozenset(_present(nodes[name], present) for name in program.recipe.kept)
    return frozenset(name for name, origin in origins.items() if origin in kept)


def origin_of(function: Function, nodes: Mapping[str, Node]) -> dict[str, str]:
    """Return the exported operator of every operation; parts of a compound one belong to what they are computed for."""
    origins: dict[str, str] = {}
    readers: dict[str, str] = {}
    for entry in reversed(function.operations):
        if entry.type == "const" or entry.type.startswith("constexpr_"):
            continue
        bare = _bare(entry.name)
        found = bare if bare in nodes else next((readers[out.name] for out in entry.outputs if out.name in readers), "")
        if not found:
            continue
        origins[entry.name] = found
        for name in _read(entry):
            readers.setdefault(name, found)
    return origins


def _bare(name: str) -> str:
    while suffix := next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), ""):
        name = name.removesuffix(suffix)
    return name


def _read(operation: Operation) -> Iterator[str]:
    for given in operation.arguments.values():
        for item in given:
            if isinstance(item, Reference):
                yield item.name


def _present(node: Node, present: frozenset[str]) -> str:
    """Return the operator, or the one it was fused into: what reads it."""
    while node.name not in present:
        following = next((user for user in node.users if user.op == "call_function"), None)
        if following is None:
            return ""
        node = following
    return node.name
