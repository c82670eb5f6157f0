"""Model → Program: what is refused with which message, names and order of outputs, modes left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convert.export import evaluating, export
from convert.program import Model
from edge.artifact import Source
from edge.contract import Contract, TensorSpec
from edge.errors import CheckpointError, ContractError

INPUT = TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW")


class Network(nn.Module):
    """A convolution, normalisation and dropout, then a function of what they give."""

    def __init__(self, finish: Callable[[Tensor], Any] = lambda y: y) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.finish = finish

    def forward(self, x: Tensor) -> Any:
        return self.finish(self.drop(self.norm(self.conv(x))))


def model(module: nn.Module, outputs: tuple[TensorSpec, ...] = ()) -> Model:
    return Model("tiny", module, Contract(inputs=(INPUT,), outputs=outputs), Source(sha256="0" * 64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("stated", [(), tuple(TensorSpec(name=n, shape=(1, 4, 6, 6)) for n in ("a", "b"))])
def test_an_output_that_no_artifact_carries(dtype: torch.dtype, stated: tuple[TensorSpec, ...]) -> None:
    network = Network(lambda y: (y, y.to(dtype)))
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(ContractError, match=rf"output 1 is {name}; artifacts carry float32, .*: cast it in the model"):
        export(model(network, stated))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(value: float) -> None:
    network = Network()
    with torch.no_grad():
        network.conv.weight[0, 0, 0, 0] = value
        network.norm.running_var[0] = value  # type: ignore[index]
    with pytest.raises(CheckpointError, match=r"NaN or infinity in conv\.weight, norm\.running_var; "):
        export(model(network))


def test_inputs_that_the_module_rejects() -> None:
    with pytest.raises(
        ContractError, match=r"tiny rejects its contract's inputs image=1x3x8x8: RuntimeError: "
    ) as caught:
        export(model(nn.Conv2d(5, 4, 3)))
    assert "\n" not in str(caught.value)


def test_outputs_that_differ_from_the_contract() -> None:
    stated = (TensorSpec(name="mask", shape=(1, 4, 8, 8)),)
    with pytest.raises(ContractError, match="outputs are 1x4x6x6:float32, its contract says 1x4x8x8:float32"):
        export(model(Network(), stated))


def test_an_output_that_is_no_tensor() -> None:
    with pytest.raises(ContractError, match="the model returns int; it must return a tensor"):
        export(model(Network(lambda y: (y, y.shape[1]))))


def test_nested_outputs_are_flat_named_and_in_order() -> None:
    network = Network(lambda y: {"b": y, "a": (y.mean(), [y.argmax(dim=1)])})
    program = export(model(network))
    found = [(spec.name, spec.shape, spec.dtype, spec.layout) for spec in program.contract.outputs]
    assert found == [
        ("output_0", (1, 4, 6, 6), "float32", "NCHW"),
        ("output_1", (), "float32", ""),
        ("output_2", (1, 6, 6), "int64", ""),
    ]
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        eager = network.eval()(x)
        outputs = program.exported.module()(x)
    for output, wanted in zip(outputs, (eager["b"], eager["a"][0], eager["a"][1][0]), strict=True):
        torch.testing.assert_close(output, wanted, rtol=0, atol=1e-6)


def test_names_of_the_contract_are_kept() -> None:
    stated = (TensorSpec(name="mask", shape=(1, 4, 6, 6)),)
    assert export(model(Network(), stated)).contract.outputs == stated


def test_export_leaves_the_module_in_its_mode() -> None:
    network = Network().train()
    network.norm.eval()  # as in fine-tuning with frozen statistics
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    program = export(model(network))
    assert (network.training, network.conv.training, network.norm.training, network.drop.training) == (
        True,
        True,
        False,
        True,
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad(), evaluating(network):
        wanted = network(x)
        torch.testing.assert_close(program.exported.module()(x)[0], wanted, rtol=0, atol=1e-6)


def test_a_module_that_fails_keeps_its_mode_too() -> None:
    network = Network(lambda y: y.double())
    with pytest.raises(ContractError):
        export(model(network))
    assert all(part.training for part in network.modules())
