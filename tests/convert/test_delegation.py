"""Placements and multiply-accumulates of exported programs, counted by hand."""

import pytest
import torch
from torch import nn

from convert.delegation import Placement, place, place_all
from convert.export import export
from convert.program import Model
from edge.artifact import Source
from edge.contract import Contract, TensorSpec
from edge.delegation import DelegationReport, Operator, Rejected, parse_requirement, summarize, unmet
from edge.errors import TargetError, UsageError

NPU, CPU = Placement("npu", "Some NPU"), Placement("cpu", "portable", "no such kernel", "use another")


def program_of(module, *shape, name="x"):
    contract = Contract(inputs=(TensorSpec(name=name, shape=shape),))
    return export(Model("inline", module.eval(), contract, Source(sha256="")))


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Conv2d(4, 8, 3, padding=1), (1, 4, 5, 6), 5 * 6 * 8 * 4 * 9),
        (nn.Conv2d(4, 8, 3, groups=4, stride=2), (1, 4, 7, 7), 3 * 3 * 8 * 9),
        (nn.ConvTranspose2d(4, 8, 2, stride=2), (1, 4, 5, 6), 5 * 6 * 4 * 8 * 4),
        (nn.Linear(7, 3), (2, 5, 7), 2 * 5 * 3 * 7),
        (nn.ReLU(), (1, 4), 0),
    ],
)
def test_multiply_accumulates(module, shape, macs):
    assert sum(operator.macs for operator in place_all(program_of(module, *shape), NPU)) == macs


def test_matrix_products():
    class Products(nn.Module):
        def forward(self, x):
            y = torch.matmul(x, x.transpose(1, 2))  # (2, 5, 5), 7 products each
            return torch.nn.functional.scaled_dot_product_attention(y, y, y)

    assert (
        sum(operator.macs for operator in place_all(program_of(Products(), 2, 5, 7), NPU)) == 2 * 25 * 7 + 2 * 25 * 10
    )


def test_every_operator_needs_a_unit():
    program = program_of(nn.Sequential(nn.ReLU(), nn.Sigmoid()), 1, 4)
    with pytest.raises(TargetError, match=r"no unit is known for operator sigmoid \(aten\.sigmoid\)"):
        place(program, {"relu": NPU})


def test_the_summary_counts_units_backends_and_refusals():
    program = program_of(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU()), 1, 4)
    operators = place(program, {"linear": NPU, "relu": CPU, "linear_1": NPU, "relu_1": CPU})
    found = summarize(operators)
    assert (found.ops, found.by_unit, found.macs_by_unit) == (4, {"npu": 2, "cpu": 2}, {"npu": 32, "cpu": 0})
    assert found.by_backend == {"Some NPU": 2, "portable": 2}
    assert [(item.op, item.count, item.reason, item.hint) for item in found.rejected] == [
        ("aten.relu", 2, "no such kernel", "use another")
    ]
    assert found.share("npu") == 100.0


def test_the_share_of_a_program_without_products_is_by_operators():
    operators = [Operator(name=unit, op="aten.relu", unit=unit, backend=unit) for unit in ("npu", "cpu", "cpu", "cpu")]
    assert summarize(operators).share("npu") == 25.0


def report_of(*units, macs=10):
    operators = [
        Operator(
            name=f"n{i}", op="aten.conv2d", unit=unit, backend=unit, macs=macs, reason="" if unit == "npu" else "no"
        )
        for i, unit in enumerate(units)
    ]
    return DelegationReport(target="t", operators=tuple(operators))


@pytest.mark.parametrize(
    ("units", "asked", "met"),
    [
        (["npu", "npu"], "npu=100", True),
        (["npu", "cpu"], "npu=50", True),
        (["npu", "cpu"], "npu=50.5", False),
        (["npu", "cpu"], "cpu=0", True),
        (["gpu", "gpu"], "gpu=100", True),
    ],
)
def test_a_requirement(units, asked, met):
    assert (unmet(parse_requirement(asked), report_of(*units)) == "") is met


def test_all_means_operators_without_products_too():
    report = DelegationReport(
        target="t",
        operators=(
            Operator(name="a", op="aten.conv2d", unit="npu", backend="n", macs=5),
            Operator(name="b", op="aten.argmax", unit="cpu", backend="c", reason="no kernel"),
        ),
    )
    text = unmet(parse_requirement("npu=100"), report)
    assert "npu runs 100.00 %" in text
    assert "1 of 2 operators are elsewhere: 1 × aten.argmax on cpu (no kernel)" in text
    assert unmet(parse_requirement("npu=99.9"), report) == ""


@pytest.mark.parametrize("text", ["npu", "npu=", "npu=101", "npu=-1", "tpu=5", "npu=nan"])
def test_a_requirement_that_is_none(text):
    with pytest.raises(UsageError, match="UNIT=PERCENT"):
        parse_requirement(text)


def test_all_means_operators_of_the_compiled_file_too():
    beside = [Rejected(op="QUANTIZE", count=1, reason="the border")]
    assert "1 × QUANTIZE of the compiled file (the border)" in unmet(
        parse_requirement("npu=100"), report_of("npu"), beside
    )
    assert unmet(parse_requirement("npu=99.9"), report_of("npu"), beside) == ""
