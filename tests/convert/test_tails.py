"""Decoding tails: what is cut, that the decoder then chooses the same, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convert.passes.functional import functional_module
from convert.passes.tails import find_tails
from convert.prepare import prepare
from convert.program import Model, Program, load_program
from convert.reference import read_reference
from convert.tail_step import TOOL, describe_tails, restore_tails
from convert.targets.mediapipe import check_contract
from edge.artifact import Source
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import Refused
from edge.tasks import TASKS
from edge.tasks.segmentation import class_map

SIZE = (24, 32)
IMAGE = TensorSpec(name="image", shape=(1, 3, *SIZE), layout="NCHW")


class Head(nn.Module):
    """A convolution to `classes` planes, then a user's way to decode them."""

    def __init__(self, decode: Callable[[Tensor], Any], classes: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.decode = nn.Conv2d(3, classes, 3, padding=1, stride=2), decode

    def forward(self, x: Tensor) -> Any:
        return self.decode(self.conv(x))


def prepared(
    module: nn.Module, folder: Path, images: tuple[Path, ...] = (), *, task: str = "segmentation", decoder: str = ""
) -> Program:
    rule = Postprocess(decoder=decoder) if decoder else None
    contract = Contract(inputs=(IMAGE,), task=task, preprocess=Preprocess(size=SIZE), postprocess=rule)
    return prepare(Model("own", module, contract, Source(sha256="0" * 64)), images, folder)


def operators(program: Program) -> set[str]:
    return {str(node.target) for node in program.exported.graph.nodes if node.op == "call_function"}


HEADS: dict[str, tuple[Callable[[Tensor], Any], int, str]] = {
    "argmax": (lambda y: y.argmax(1), 5, "argmax"),
    "argmax kept": (lambda y: y.argmax(dim=1, keepdim=True).to(torch.uint8), 5, "argmax"),
    "softmax": (lambda y: y.softmax(1).argmax(1).int(), 5, "argmax"),
    "log softmax": (lambda y: y.log_softmax(-3).argmax(-3), 5, "argmax"),
    "max": (lambda y: y.max(1)[1], 5, "argmax"),
    "top 1": (lambda y: y.topk(1, dim=1).indices.squeeze(1), 5, "argmax"),
    "one picture": (lambda y: y[0].argmax(0), 5, "argmax"),
    "channels last": (lambda y: y.permute(0, 2, 3, 1).argmax(-1), 5, "argmax"),
    "threshold": (lambda y: y.sigmoid() > 0.5, 1, "threshold"),
    "threshold of a plane": (lambda y: (y.sigmoid()[:, 0] > 0.51).to(torch.uint8), 1, "threshold"),
    "resized": (lambda y: nn.functional.interpolate(y, size=SIZE, mode="bilinear").argmax(1), 5, "argmax"),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_tail_is_cut_and_decoded_the_same(name: str, tmp_path: Path, photos: tuple[Path, ...]) -> None:
    decode, classes, decoder = HEADS[name]
    module = Head(decode, classes).eval()
    program = prepared(module, tmp_path, photos[:1])
    assert not operators(program) & {"aten.argmax.default", "aten.max.dim", "aten.topk.default", "aten.softmax.int"}
    contract = program.contract
    assert contract.postprocess is not None
    assert contract.postprocess.decoder == decoder
    [spec] = contract.outputs
    assert (spec.name, spec.dtype) == ("output_0_scores", "float32")
    assert spec.layout == ("NHWC" if name == "channels last" else "NCHW")
    [sample] = read_reference(tmp_path).samples
    with torch.no_grad():
        labels = module(torch.from_numpy(sample.inputs["image"])).numpy()
    assert np.array_equal(class_map(sample.outputs, contract), labels.reshape(labels.squeeze().shape))
    assert sample.frame is not None
    task = TASKS["segmentation"]
    before = Contract(
        inputs=(IMAGE,), outputs=(TensorSpec(name="y", shape=labels.shape, dtype="int64"),), task=contract.task
    )
    expected = task.decode({"y": labels.astype(np.int64)}, before, sample.frame)
    assert np.array_equal(task.decode(sample.outputs, contract, sample.frame).classes, expected.classes)
    assert len(np.unique(expected.classes)) > 1


def test_the_cut_is_recorded_and_can_be_undone(tmp_path: Path) -> None:
    program = prepared(Head(lambda y: (y.argmax(1), y.mean())), tmp_path)
    [step] = [step for step in program.steps if step.tool == TOOL]
    assert step.options["cut-tail"] == "argmax"
    [line] = describe_tails(program.steps)
    assert "argmax of output_0 is left to the decoder 'argmax'; artifacts give output_0_scores" in line
    assert load_program(tmp_path).contract == program.contract
    own = restore_tails(program.contract, program.steps)
    assert [(spec.name, spec.shape, spec.dtype) for spec in own.outputs] == [
        ("output_0", (1, 12, 16), "int64"),
        ("output_1", (), "float32"),
    ]
    again = prepare(Model("own", Head(lambda y: (y.argmax(1), y.mean())), own, program.source), (), tmp_path)
    assert again.contract == program.contract


KEPT: dict[str, tuple[Callable[[Tensor], Any], dict[str, str]]] = {
    "another task": (lambda y: y.argmax(1), {"task": "tensors"}),
    "scores": (lambda y: y.softmax(1), {}),
    "no class map": (lambda y: (y, y.argmax(1)), {}),
    "the scores are an output": (lambda y: (y.argmax(1), y), {}),
    "two choices": (lambda y: y.topk(2, dim=1).indices[:, 1], {}),
    "changed labels": (lambda y: y.argmax(1) + 1, {}),
    "smallest": (lambda y: y.argmin(1), {}),
    "over a row": (lambda y: y[:, :1].argmax(2), {"decoder": "labels"}),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_no_decoder_continues_stays(name: str, tmp_path: Path) -> None:
    decode, options = KEPT[name]
    program = prepared(Head(decode), tmp_path, **options)
    assert not [step for step in program.steps if step.tool == TOOL]


def test_scores_that_are_not_finite_stay_inside(tmp_path: Path) -> None:
    hidden = lambda y: torch.cat([y, torch.full_like(y, -torch.inf)], 1).argmax(1)  # noqa: E731
    assert "aten.argmax.default" in operators(prepared(Head(hidden), tmp_path))


def test_tails_of_pose_heads_are_found() -> None:
    """A heatmap's peak, then the offsets there (as MoveNet decodes): no decoder continues, but the tail is known."""

    class Peaks(nn.Module):
        def forward(self, heat: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
            best = heat.relu().reshape(1, 17, -1).max(2)
            rows = torch.div(best.indices, 8, rounding_mode="floor")
            moved = offsets.neg().reshape(1, 17, -1).gather(2, best.indices.unsqueeze(2))
            return torch.cat([rows.unsqueeze(2) + moved, (best.indices % 8).unsqueeze(2) + moved], 2), best.values

    exported = torch.export.export(Peaks(), (torch.rand(1, 17, 8, 8), torch.rand(1, 17, 8, 8)))
    module = functional_module(exported)
    assert module is not None
    [tail] = find_tails(module)
    assert tail.operators == "max, gather"
    assert tail.outputs == (0, 1)
    kept = {str(node.target) for node in module.graph.nodes} - {str(node.target) for node in tail.nodes}
    assert {"aten.relu.default", "aten.neg.default"} <= kept


def test_a_choice_inside_the_network_is_no_tail() -> None:
    class Shuffled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.index_select(1, torch.tensor([2, 0, 1])).sigmoid()

    module = functional_module(torch.export.export(Shuffled(), (torch.rand(1, 3, 4, 4),)))
    assert module is not None
    assert find_tails(module) == ()


def test_mediapipe_refuses_what_it_would_decode_otherwise(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="resizes scores before it chooses classes, the decoder 'argmax' after"):
        check_contract(prepared(Head(lambda y: y.argmax(1)), tmp_path))


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), classes=st.integers(2, 6), seed=st.integers(0, 999))
def test_decoders_of_class_maps_agree(height: int, width: int, classes: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(1, classes, height, width)).astype(np.float32)
    labels = torch.from_numpy(scores).argmax(1).numpy()
    of_scores = Contract(
        inputs=(IMAGE,), outputs=(TensorSpec(name="y", shape=scores.shape, layout="NCHW"),), task="segmentation",
        postprocess=Postprocess(decoder="argmax"),
    )  # fmt: skip
    of_labels = Contract(inputs=(IMAGE,), outputs=(TensorSpec(name="y", shape=labels.shape, dtype="int64"),))
    assert np.array_equal(class_map({"y": scores}, of_scores), class_map({"y": labels}, of_labels))
