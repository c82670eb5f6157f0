"""Resizes: every form against eager, what becomes of it, and what stays."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convert.passes import passes_for, pools, resize
from convert.passes._rewrite import Rewrite, apply_rewrite, apply_rewrites

FEW = settings(max_examples=8, deadline=None)
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


class Resized(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x.relu(), **self.options).neg()


def operators(rewrite: Rewrite, shape: tuple[int, ...] = (1, 3, 7, 9), **options: Any) -> Counter[str]:
    """Apply a pass to a resize, compare with eager, check that a second time changes nothing; count operators."""
    torch.manual_seed(0)
    module, x = Resized(**options).eval(), torch.randn(shape)
    with torch.no_grad():
        program = torch.export.export(module, (x,))
        result = apply_rewrite(program, rewrite)
        torch.testing.assert_close(result.module()(x), module(x), rtol=1e-5, atol=1e-5)
        assert apply_rewrite(result, rewrite) is result
    found = Counter(str(node.target).split(".")[1] for node in result.graph.nodes if node.op == "call_function")
    return found - Counter(["relu", "neg"])


def test_resizes_to_the_same_size_go() -> None:
    assert not operators(resize.simplify_resizes, size=(7, 9), mode="bilinear")
    assert not operators(resize.simplify_resizes, size=(7, 9), mode="bilinear", align_corners=True)
    assert not operators(resize.simplify_resizes, size=(7, 9), mode="nearest")
    assert not operators(resize.simplify_resizes, scale_factor=1.0, mode="bicubic")


def test_what_is_bilinear_or_nearest_is_written_so() -> None:
    wide = operators(resize.simplify_resizes, size=(14, 21), mode="bilinear", antialias=True)
    assert wide == {"upsample_bilinear2d": 1}
    exact = operators(resize.simplify_resizes, size=(14, 27), mode="nearest-exact")
    assert exact == {"upsample_nearest2d": 1}
    single = operators(resize.simplify_resizes, (2, 3, 1, 1), size=(5, 4), mode="bicubic")
    assert single == {"upsample_nearest2d": 1}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"size": (14, 9), "mode": "bilinear"}, "upsample_bilinear2d"),
        ({"scale_factor": 1.5, "mode": "bilinear"}, "upsample_bilinear2d"),
        ({"size": (3, 4), "mode": "bilinear", "antialias": True}, "_upsample_bilinear2d_aa"),
        ({"size": (10, 9), "mode": "nearest-exact"}, "_upsample_nearest_exact2d"),
        ({"size": (14, 18), "mode": "nearest"}, "upsample_nearest2d"),
    ],
)
def test_others_stay_as_they_are(options: dict[str, Any], name: str) -> None:
    assert operators(resize.simplify_resizes, **options) == {name: 1}


@pytest.mark.parametrize(
    "options",
    [
        {"scale_factor": 1.5, "mode": "bilinear"},
        {"scale_factor": (1.3, 2.0), "mode": "bilinear"},
        {"size": (3, 4), "mode": "bilinear", "antialias": True},
        {"size": (12, 5), "mode": "bicubic"},
        {"size": (12, 5), "mode": "bicubic", "align_corners": True},
        {"size": (4, 5), "mode": "bicubic", "antialias": True},
    ],
)
def test_smooth_resizes_become_products(options: dict[str, Any]) -> None:
    rewrite = resize.resize_by_products
    if options["mode"] == "bicubic" and not options.get("antialias"):
        assert operators(rewrite, **options) == {"upsample_bicubic2d": 1}
        rewrite = resize.bicubic_by_products
    assert operators(rewrite, **options) == {"linear": 2, "transpose": 2}


@pytest.mark.parametrize(
    "options",
    [{"size": (12, 5)}, {"scale_factor": 2.0}, {"scale_factor": 1.5, "align_corners": True}],
)
def test_plain_bilinear_resizes_stay(options: dict[str, Any]) -> None:
    assert operators(resize.resize_by_products, mode="bilinear", **options) == {"upsample_bilinear2d": 1}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": (12, 15), "mode": "nearest"}, {"index_select": 2}),
        ({"size": (7, 3), "mode": "nearest"}, {"slice": 1}),
        ({"size": (14, 3), "mode": "nearest"}, {"index_select": 1, "slice": 1}),
        ({"scale_factor": 1.5, "mode": "nearest"}, {"index_select": 2}),
        ({"size": (12, 15), "mode": "nearest-exact"}, {"index_select": 2}),
        ({"scale_factor": 3, "mode": "nearest"}, {"upsample_nearest2d": 1}),
    ],
)
def test_nearest_resizes_select(options: dict[str, Any], expected: dict[str, int]) -> None:
    assert operators(resize.resize_by_selection, **options) == expected


@pytest.mark.parametrize("factor", [3, 4, 5, 8, 16])
def test_bilinear_upsampling_by_convolution(factor: int) -> None:
    found = operators(resize.resize_by_convolution, (1, 3, 4, 5), scale_factor=factor, mode="bilinear")
    assert found["conv2d"] == 2
    assert found["upsample_nearest2d"] == (2 if factor == 16 else 1)


@pytest.mark.parametrize(
    "options",
    [{"scale_factor": 2}, {"size": (21, 18)}, {"size": (20, 20)}, {"size": (28, 36), "align_corners": True}],
)
def test_other_bilinear_resizes_are_not_convolutions(options: dict[str, Any]) -> None:
    assert operators(resize.resize_by_convolution, mode="bilinear", **options) == {"upsample_bilinear2d": 1}


PRODUCTS = {"linear": 2, "transpose": 2}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": (12, 15), "mode": "bilinear"}, PRODUCTS),
        ({"size": (12, 15), "mode": "nearest"}, PRODUCTS),
        ({"size": (7, 4), "mode": "nearest"}, {"linear": 1}),
        ({"size": (20, 20), "mode": "bilinear", "align_corners": True}, PRODUCTS),
        ({"scale_factor": 2, "mode": "bilinear"}, {"upsample_bilinear2d": 1}),
        ({"scale_factor": 8, "mode": "nearest"}, {"upsample_nearest2d": 1}),
        ({"size": (13, 17), "mode": "bilinear", "align_corners": True}, {"upsample_bilinear2d": 1}),
    ],
)
def test_what_vela_refuses_becomes_products(options: dict[str, Any], expected: dict[str, int]) -> None:
    assert operators(resize.vela_by_products, **options) == expected


@pytest.mark.slow
@FEW
@given(shape=SIZES, size=SIZES, mode=st.sampled_from(["bilinear", "bicubic", "nearest", "nearest-exact"]))
def test_every_size_keeps_its_values(shape: tuple[int, int], size: tuple[int, int], mode: str) -> None:
    for rewrite in (resize.simplify_resizes, resize.bicubic_by_products, resize.resize_by_selection):
        operators(rewrite, (1, 2, *shape), size=size, mode=mode)


@pytest.mark.slow
@FEW
@given(shape=SIZES, scale=st.floats(1.05, 3.3), mode=st.sampled_from(["bilinear", "bicubic", "nearest"]))
def test_every_scale_keeps_its_values(shape: tuple[int, int], scale: float, mode: str) -> None:
    for rewrite in (resize.resize_by_products, resize.resize_by_selection):
        operators(rewrite, (1, 2, *shape), scale_factor=scale, mode=mode)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((7, 3), {"avg_pool2d": 1}), ((2, 3), {"linear": 2, "transpose": 2}), ((1, 1), {"adaptive_avg_pool2d": 1})],
)
def test_adaptive_pooling(size: tuple[int, int], expected: dict[str, int]) -> None:
    """`interpolate(mode="area")` is adaptive average pooling."""
    assert operators(pools.pool_plainly, size=size, mode="area") == expected


@pytest.mark.parametrize("family", ["executorch-qnn", "litert-cpu", "litert-ethos-u", "onnx-cpu"])
@pytest.mark.parametrize(
    "options",
    [
        {"size": (12, 15), "mode": "nearest-exact"},
        {"scale_factor": 16, "mode": "bilinear"},
        {"scale_factor": 1.4, "mode": "bicubic"},
        {"size": (3, 4), "mode": "area"},
    ],
)
def test_all_passes_of_a_family_settle(family: str, options: dict[str, Any]) -> None:
    """Optimised twice is optimised once, whatever the passes make of each other's results."""
    torch.manual_seed(0)
    module, x = Resized(**options).eval(), torch.randn(1, 3, 7, 9)
    rewrites = [entry.rewrite for entry in passes_for(family)]
    with torch.no_grad():
        result, _ = apply_rewrites(torch.export.export(module, (x,)), rewrites)
        torch.testing.assert_close(result.module()(x), module(x), rtol=1e-5, atol=1e-5)
        again, counts = apply_rewrites(result, rewrites)
    assert again is result
    assert not any(counts)
