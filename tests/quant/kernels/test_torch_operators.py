"""The operator computes what the kernel computes, and torch.export carries it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge.errors import ContractError
from quant.kernels import TernaryKernel, torch_operators
from quant.kernels.torch_operators import PackedLinear
from quant.ternary import LAYOUTS, PackedError, TernaryTensor, pack


def _layer(layout="t2", bias: bool = True) -> tuple[PackedLinear, TernaryTensor, torch.Tensor | None]:
    random = np.random.default_rng(0)
    scale = random.uniform(0.1, 1, 12).astype(np.float32)
    tensor = TernaryTensor(random.integers(-1, 2, (12, 50), np.int8), scale)
    added = torch.linspace(-1, 1, 12) if bias else None
    return PackedLinear(tensor, added, layout=layout).eval(), tensor, added


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(50,), (3, 50), (2, 5, 50)])
def test_the_operator_is_close_to_the_eager_layer(layout, bias: bool, shape) -> None:
    layer, tensor, added = _layer(layout, bias)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = layer(values)
    expected = torch.nn.functional.linear(values, torch.from_numpy(tensor.dequantize()), added)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()  # int8 activations
    kernel = TernaryKernel(pack(tensor, layout))
    assert np.array_equal(found.numpy(), kernel.linear(values.numpy(), None if added is None else added.numpy()))


def test_torch_export_carries_it_for_any_batch() -> None:
    layer, _, _ = _layer()
    values = torch.randn(4, 50)
    exported = torch.export.export(layer, (values,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},))
    called = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    assert called == [torch.ops.edge.ternary_linear.default]
    for batch in (4, 9):
        values = torch.randn(batch, 50)
        assert torch.equal(exported.module()(values), layer(values))


def test_the_operator_is_registered_as_pytorch_expects() -> None:
    layer, _, added = _layer()
    for bias in (added, None):
        torch.library.opcheck(
            torch_operators.ternary_linear,
            (torch.randn(3, 50), layer.packed, bias, 12),
            test_utils=("test_schema", "test_faketensor"),
        )


def test_a_kernel_is_made_once_and_anew_for_other_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, tensor, _ = _layer(bias=False)
    made: list[int] = []

    def counted(packed: np.ndarray, **options: int) -> TernaryKernel:
        made.append(len(packed))
        return TernaryKernel(packed, **options)

    monkeypatch.setattr(torch_operators, "TernaryKernel", counted)
    values = torch.randn(2, 50)
    first = layer(values)
    layer(values)
    assert len(made) == 1
    doubled = TernaryTensor(tensor.trits, 2 * tensor.scale)
    layer.packed.copy_(torch.from_numpy(np.frombuffer(pack(doubled, "t2"), np.uint8).copy()))
    assert torch.allclose(layer(values), 2 * first)
    assert len(made) == 2


def test_an_empty_batch_has_no_results() -> None:
    assert _layer()[0](torch.empty(0, 50)).shape == (0, 12)


def test_what_does_not_fit_is_refused() -> None:
    layer, _, _ = _layer()
    with pytest.raises(ContractError, match="do not fit a weight"):
        layer(torch.randn(2, 51))
    with pytest.raises(ContractError, match="float64; expected float32"):
        layer(torch.randn(2, 50, dtype=torch.float64))
    with pytest.raises(ContractError, match="expected uint8"):
        torch.ops.edge.ternary_linear(torch.randn(2, 50), torch.zeros(4), None, 12)
    with pytest.raises(PackedError):
        torch.ops.edge.ternary_linear(torch.randn(2, 50), torch.zeros(4, dtype=torch.uint8), None, 12)
    with pytest.raises(ContractError, match="no linear layer's"):
        PackedLinear(TernaryTensor(np.ones((2, 3, 1, 1), np.int8), np.ones(2, np.float32)))
