"""Each pass on tiny modules: what it changes, and that the numbers stay."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import ExportedProgram

from convert.passes import activations, batch_norm, constants, convolutions, identities, padding, passes_for, permutes
from convert.passes._rewrite import Rewrite, apply_rewrite, apply_rewrites

IMAGE = (1, 6, 16, 16)


class Lambda(nn.Module):
    def __init__(self, function, **children: nn.Module) -> None:
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def rewritten(
    module: nn.Module, rewrite: Rewrite, shape: tuple[int, ...] = IMAGE
) -> tuple[ExportedProgram, Counter[str]]:
    """Apply a pass; check that the original stays as it is and that both agree with eager to 1e-5."""
    torch.manual_seed(0)
    module, x = module.eval(), torch.randn(shape)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
    with torch.no_grad():
        program = torch.export.export(module, (x,))
        before = str(program.graph)
        result = apply_rewrite(program, rewrite)
        assert str(program.graph) == before
        torch.testing.assert_close(result.module()(x), module(x), rtol=1e-5, atol=1e-5)
    return result, Counter(str(node.target) for node in result.graph.nodes if node.op == "call_function")


def test_batch_norm_goes_into_the_convolution() -> None:
    module = nn.Sequential(nn.Conv2d(6, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    _, ops = rewritten(module, batch_norm.fold_batch_norm)
    assert ops == {"aten.conv2d.default": 1, "aten.relu.default": 1}


def test_batch_norm_stays_where_the_convolution_has_another_reader() -> None:
    module = Lambda(lambda m, x: (y := m.conv(x)) + m.norm(y), conv=nn.Conv2d(6, 6, 1), norm=nn.BatchNorm2d(6))
    _, ops = rewritten(module, batch_norm.fold_batch_norm)
    assert ops["aten.batch_norm.default"] == 1


def test_identities_go() -> None:
    module = Lambda(
        lambda m, x: m.drop(x.relu()).float().reshape(IMAGE).permute(0, 1, 2, 3).clone().sigmoid(), drop=nn.Dropout(0.5)
    )
    _, ops = rewritten(module, identities.remove_identities)
    assert ops == {"aten.relu.default": 1, "aten.sigmoid.default": 1}


def test_real_reshapes_stay() -> None:
    _, ops = rewritten(Lambda(lambda m, x: x.reshape(1, 6, 256).permute(0, 2, 1)), identities.remove_identities)
    assert len(ops) == 2


def test_constants_are_computed() -> None:
    weight = nn.Conv2d(6, 6, 1)
    _, ops = rewritten(
        Lambda(lambda m, x: x * (m.c.weight.reshape(36).sum() * 2 + 1), c=weight), constants.fold_constants
    )
    assert ops == {"aten.mul.Tensor": 1}


def test_constants_with_something_large_or_split_between_are_one() -> None:
    def attend(m: nn.Module, x: Tensor) -> Tensor:
        first, second = m.c.weight.reshape(36, 1).expand(36, 80).split([40, 40], dim=1)
        weights = (first @ second.transpose(0, 1)).repeat(4, 4).softmax(dim=1)  # 144 × 144
        return x * weights.sum()

    _, ops = rewritten(Lambda(attend, c=nn.Conv2d(4, 1, 3)), constants.fold_constants)
    assert ops == {"aten.mul.Tensor": 1}


def test_constants_that_become_large_stay_operators() -> None:
    def spread(m: nn.Module, x: Tensor) -> Tensor:
        large = (m.c.weight.reshape(36) * 2).repeat(300)
        return x.sum() * large

    _, ops = rewritten(Lambda(spread, c=nn.Conv2d(4, 1, 3)), constants.fold_constants)
    assert ops == {"aten.sum.default": 1, "aten.repeat.default": 1, "aten.mul.Tensor": 1}


def test_random_operators_are_not_constants() -> None:
    program = torch.export.export(Lambda(lambda m, x: x + torch.rand(6, 1, 1)), (torch.zeros(IMAGE),))
    assert apply_rewrite(program, constants.fold_constants) is program


def test_permutes_cancel_and_merge() -> None:
    cancel = Lambda(lambda m, x: x.relu().permute(0, 2, 3, 1).permute(0, 3, 1, 2).sigmoid())
    assert rewritten(cancel, permutes.merge_permutes)[1] == {"aten.relu.default": 1, "aten.sigmoid.default": 1}
    merge = Lambda(lambda m, x: x.transpose(1, 2).permute(0, 3, 1, 2).sigmoid())
    assert rewritten(merge, permutes.merge_permutes)[1]["aten.permute.default"] == 1


def test_padding_goes_into_the_convolution() -> None:
    module = Lambda(lambda m, x: m.conv(F.pad(x, (2, 2, 1, 1))), conv=nn.Conv2d(6, 4, 3, padding=1))
    assert rewritten(module, padding.fuse_padding)[1] == {"aten.conv2d.default": 1}


@pytest.mark.parametrize(
    ("sides", "mode", "value"),
    [((0, 1, 0, 1), "constant", 0.0), ((1, 1, 1, 1), "constant", 2.0), ((1, 1, 1, 1), "reflect", None)],
)
def test_other_padding_stays(sides: tuple[int, ...], mode: str, value: float | None) -> None:
    module = Lambda(lambda m, x: m.conv(F.pad(x, sides, mode, value)), conv=nn.Conv2d(6, 4, 3))
    assert sum(rewritten(module, padding.fuse_padding)[1].values()) == 2


@pytest.mark.parametrize(("dilation", "kernel"), [(24, (1, 1)), (16, (1, 1)), (15, (3, 3)), (1, (3, 3))])
def test_taps_in_the_padding_are_trimmed(dilation: int, kernel: tuple[int, int]) -> None:
    module = nn.Sequential(nn.Conv2d(6, 4, 3, padding=dilation, dilation=dilation))
    result, ops = rewritten(module, padding.trim_padding_taps)
    assert ops == {"aten.conv2d.default": 1}
    assert kernel in [tuple(tensor.shape[2:]) for tensor in result.state_dict.values() if tensor.dim() == 4]


def test_hard_sigmoid_and_swish_are_recognised() -> None:
    sigmoid = Lambda(lambda m, x: F.relu6(x + 3) / 6)
    assert rewritten(sigmoid, activations.fuse_hard_sigmoid)[1] == {"aten.hardsigmoid.default": 1}
    other = Lambda(lambda m, x: F.relu6(x + 2) / 6)
    assert "aten.hardsigmoid.default" not in rewritten(other, activations.fuse_hard_sigmoid)[1]
    swish = Lambda(lambda m, x: x * F.hardsigmoid(x))
    assert rewritten(swish, activations.fuse_hard_swish)[1] == {"aten.hardswish.default": 1}


def test_hard_sigmoid_goes_into_the_convolution() -> None:
    module = nn.Sequential(nn.Conv2d(6, 4, 1, bias=False), nn.Hardsigmoid())
    assert rewritten(module, activations.fold_hard_sigmoid)[1] == {"aten.conv2d.default": 1, "aten.hardtanh.default": 1}


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(16)])
def test_global_pooling_is_a_mean(pool: nn.Module) -> None:
    assert rewritten(nn.Sequential(pool), activations.pool_globally)[1] == {"aten.mean.dim": 1}


def test_single_output_is_split() -> None:
    module = nn.Sequential(nn.Conv2d(6, 1, 3, padding=1, stride=1))
    result, ops = rewritten(module, convolutions.split_single_output)
    assert ops == {"aten.conv2d.default": 2}
    assert sorted(tuple(t.shape) for t in result.state_dict.values() if t.dim() == 4) == [(1, 6, 1, 1), (6, 1, 3, 3)]


def test_projection_moves_before_the_resize() -> None:
    module = Lambda(
        lambda m, x: m.conv(F.interpolate(x, size=(32, 48), mode="bilinear", align_corners=False)),
        conv=nn.Conv2d(6, 4, 1),
    )
    result, _ = rewritten(module, convolutions.project_before_resize)
    order = [str(node.target) for node in result.graph.nodes if node.op == "call_function"]
    assert order == ["aten.conv2d.default", "aten.upsample_bilinear2d.vec"]


class Cloned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2 - 1
        z = y.clone()
        y.relu_()
        return y + z


class Written(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(IMAGE)
        out[:, :, 1:] += x[:, :, 1:]
        return out


class Buffered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("b", torch.ones(IMAGE))

    def forward(self, x: Tensor) -> Tensor:
        return self.b.clone().add_(x)


class Through(nn.Module):
    """Change a tensor through the view of a view, after an operator that may return its input."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.sigmoid()
        kept = F.dropout(y, training=False).clone()
        y.reshape(6, 256).permute(1, 0)[3:7].mul_(2.0).copy_(torch.ones(4, 6))
        return y - kept


@pytest.mark.parametrize("module", [Cloned(), Written(), Buffered(), Through()])
@pytest.mark.parametrize("runtime", ["executorch-xnnpack", "onnx-cpu"])
def test_in_place_operators_keep_their_meaning(module: nn.Module, runtime: str) -> None:
    torch.manual_seed(2)
    program = torch.export.export(module.eval(), (torch.zeros(IMAGE),))
    result, _ = apply_rewrites(program, [entry.rewrite for entry in passes_for(runtime)])
    assert not result.graph_signature.buffers_to_mutate
    optimized = result.module()
    for _ in range(2):
        x = torch.randn(IMAGE)
        torch.testing.assert_close(optimized(x.clone()), module(x.clone()), rtol=1e-6, atol=1e-6)


def test_in_place_activations_fuse_as_others() -> None:
    layers = (nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.Hardswish(inplace=True), nn.BatchNorm2d(8), nn.ReLU(True))
    _, ops = rewritten(nn.Sequential(*layers), batch_norm.fold_batch_norm)
    activations_and_norm = {"aten.hardswish.default": 1, "aten.batch_norm.default": 1, "aten.relu.default": 1}
    assert ops == {"aten.conv2d.default": 1, **activations_and_norm}


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count.add_(1)
        return (x + self.count * 2).clone()


def test_a_program_with_state_stays_as_it_is() -> None:
    program = torch.export.export(Counting().eval(), (torch.zeros(IMAGE),))
    rewrites = [entry.rewrite for entry in passes_for("onnx")]
    assert apply_rewrites(program, rewrites) == (program, (0,) * len(rewrites))


@pytest.mark.parametrize("runtime", ["executorch-xnnpack", "litert-cpu", "onnx-cpu", "coreml"])
def test_all_passes_together(runtime: str) -> None:
    torch.manual_seed(1)
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())
    stem = nn.Sequential(nn.Conv2d(6, 8, 3, padding=20, dilation=20), nn.BatchNorm2d(8), nn.Hardswish(), nn.Dropout())
    module = Lambda(lambda m, x: m.head((y := m.stem(x)) * m.gate(y)), stem=stem, gate=gate, head=nn.Conv2d(8, 1, 3))
    x = torch.randn(2, 6, 20, 20)
    program = torch.export.export(module.eval(), (x,))
    result, counts = apply_rewrites(program, [entry.rewrite for entry in passes_for(runtime)])
    assert sum(counts) >= 4
    torch.testing.assert_close(result.module()(x), module(x), rtol=1e-5, atol=1e-5)


def test_weights_that_a_pass_replaced_are_forgotten() -> None:
    module = nn.Sequential(nn.Conv2d(6, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    result, _ = rewritten(module, batch_norm.fold_batch_norm)
    assert sorted(tuple(value.shape) for value in result.state_dict.values()) == [(8,), (8, 6, 3, 3)]
    assert all(node.users for node in result.graph.nodes if node.op == "placeholder")
