"""The one quantization flow of ExecuTorch targets: which operators are kept, which ranges are taken, and biases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from npu_networks import small_program
from torch import Tensor, nn

from convert.delegation import operator_nodes
from convert.nearness import nearness
from convert.targets._kept import kept_operators
from convert.targets._pt2e import own_observer_only
from convert.targets._pt2e_bias import with_better_biases
from convert.targets._pt2e_observers import activation_observer, code_bits, settle_ranges
from convert.targets._pt2e_spelling import spell_relu6, spell_unit_clips
from edge.errors import Refused
from quant.observers import Seen, choose_range
from quant.recipe import Recipe

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

PROGRAM = small_program()
NAMES = [node.name for node in operator_nodes(PROGRAM)]


def with_recipe(**fields: object) -> object:
    return replace(PROGRAM, recipe=Recipe(**fields))  # type: ignore[arg-type]


@given(kept=st.lists(st.sampled_from(NAMES), unique=True))
def test_every_set_of_operators_can_be_kept(kept: list[str]) -> None:
    assert kept_operators(with_recipe(kept=tuple(kept)), "mixed") == set(kept)  # type: ignore[arg-type]


@settings(max_examples=20)
@given(name=st.text("conv2d_01", max_size=9).filter(lambda text: text not in NAMES))
def test_a_name_that_is_no_operator_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="no such operator"):
        kept_operators(with_recipe(kept=(NAMES[0], name)), "mixed")  # type: ignore[arg-type]


def test_kept_operators_belong_to_mixed() -> None:
    with pytest.raises(Refused, match="mixed does"):
        kept_operators(with_recipe(kept=(NAMES[0],)), "int8")  # type: ignore[arg-type]


def test_quantizers_with_observers_of_their_own_refuse_ours() -> None:
    own_observer_only(PROGRAM, "executorch-samsung")
    with pytest.raises(Refused, match="leave the observer out"):
        own_observer_only(with_recipe(observer="mse"), "executorch-samsung")  # type: ignore[arg-type]


class Observed(nn.Module):
    """Pass values through an observer, as a prepared graph does."""

    def __init__(self, observer: nn.Module) -> None:
        super().__init__()
        self.observer = observer

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.observer(x)
        return result


@settings(deadline=None, max_examples=20)
@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=60),
    choice=st.sampled_from(["percentile", "mse", "entropy"]),
    dtype=st.sampled_from([(torch.int8, -128, 127), (torch.uint16, 0, 65535)]),
)
def test_a_settled_range_is_the_one_the_observer_chooses(values: list[float], choice: str, dtype: tuple) -> None:  # type: ignore[type-arg]
    kind, low, high = dtype
    observer = activation_observer(choice)(dtype=kind, quant_min=low, quant_max=high)  # type: ignore[arg-type]
    module, tensor = Observed(observer), torch.tensor(values)
    first, second = tensor[: len(values) // 2], tensor[len(values) // 2 :]
    assert torch.equal(module(first), first)
    module(second)
    seen = Seen()
    seen.add(first.numpy())
    seen.add(second.numpy())
    settle_ranges(module)  # type: ignore[arg-type]
    expected = choose_range(seen, choice, bits=code_bits(observer))  # type: ignore[arg-type]
    np.testing.assert_array_equal((observer.min_val.item(), observer.max_val.item()), np.float32(expected))
    assert min(float(tensor.min()), 0.0) <= observer.min_val <= 0 <= observer.max_val <= max(float(tensor.max()), 0.0)


@pytest.mark.parametrize(("low", "high", "bits"), [(-128, 127, 8), (-127, 127, 8), (0, 255, 8), (0, 65535, 16)])
def test_code_bits(low: int, high: int, bits: int) -> None:
    observer = activation_observer(None)(dtype=torch.int32, quant_min=low, quant_max=high)
    assert code_bits(observer) == bits


def graph(module: nn.Module, x: Tensor) -> torch.fx.GraphModule:
    return torch.export.export(module.eval(), (x,)).module(check_guards=False)


def test_biases_are_corrected_only_where_that_is_nearer() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 8, 8)
    exact, shifted = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    shifted.load_state_dict(exact.state_dict())
    assert shifted.bias is not None
    with torch.no_grad():
        shifted.bias += 0.5
    original, rounded = graph(nn.Sequential(exact), x), graph(nn.Sequential(shifted), x)
    better = with_better_biases(original, rounded, [(x,)])
    assert better.corrected
    assert better.nearness.psnr_db > 100
    torch.testing.assert_close(better.module(x), original(x), atol=1e-6, rtol=0)
    assert not torch.allclose(rounded(x), original(x), atol=0.1)  # what was given is left alone
    same = with_better_biases(original, original, [(x,)])
    assert not same.corrected
    assert same.module is original


@given(error=st.floats(1e-3, 1.0), factor=st.floats(1.1, 10.0))
def test_nearness_falls_as_errors_grow(error: float, factor: float) -> None:
    want = [{"y": np.linspace(0, 1, 16)}]
    near, far = ([{"y": want[0]["y"] + value}] for value in (error, error * factor))
    assert nearness(want, near) > nearness(want, far)
    assert nearness(want, near).psnr_db == pytest.approx(-20 * np.log10(error), abs=1e-3)  # the range is 1


def test_clips_are_spelled_for_quantizers_and_compute_the_same() -> None:
    x = torch.linspace(-3, 9, 49).reshape(1, 1, 7, 7)
    module = graph(nn.Sequential(nn.ReLU6(), nn.Hardtanh(0.0, 1.0)), x)
    expected = module(x)
    spell_relu6(module)
    spell_unit_clips(module)
    clips = [node for node in module.graph.nodes if node.target is torch.ops.aten.hardtanh.default]
    assert [node.args[1:] for node in clips] == [(0.0, 6.0), (0.0, 1.0 + torch.finfo(torch.float32).eps)]
    torch.testing.assert_close(module(x), expected, atol=2e-7, rtol=0)
