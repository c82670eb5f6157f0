"""What the student's inner layers answer is compared with the teacher's too: feature distillation.

Source: Romero et al., FitNets, 2015 (arXiv:1412.6550). Both graphs are of one program, so that no projection is needed.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from edge.train.qat import Pair
from edge.train.ternary import TernaryRounding

MOST_FEATURES = 6


def with_features(pair: Pair) -> tuple[Pair, tuple[str, ...]]:
    """Let both graphs return the results of some ternary layers after their outputs; returns these layers' names.

    They are evenly spaced over the network, at most 6 of them.
    """
    teacher = {node.name for node in pair.teacher.graph.nodes}
    names = [name for name in _layers(pair.student) if name in teacher]
    chosen = tuple(dict.fromkeys(names[i * len(names) // MOST_FEATURES] for i in range(MOST_FEATURES) if names))
    for graph in (pair.teacher, pair.student):
        _return_also(graph, chosen)
    return pair, chosen


def _layers(student: GraphModule) -> list[str]:
    """Return the operators that read a ternary weight."""
    found = []
    for node in student.graph.nodes:
        if node.op == "call_module" and isinstance(student.get_submodule(str(node.target)), TernaryRounding):
            found += [user.name for user in node.users]
    return found


def _return_also(module: GraphModule, names: tuple[str, ...]) -> None:
    nodes = {node.name: node for node in module.graph.nodes}
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    before = output.args[0]
    outputs = [before] if isinstance(before, Node) else list(before)
    output.args = ((*outputs, *(nodes[name] for name in names)),)
    module.graph.set_codegen(CodeGen())  # the export's own knows one number of outputs
    module.recompile()
