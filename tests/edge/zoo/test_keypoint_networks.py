"""PoseNet and MoveNet: published keys, published weights, the answers of the original code and of TensorFlow.js."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from filled import fill, picture

from convert.export import flatten
from convert.load import load
from convert.prepare import run_eager
from edge.errors import CheckpointError, UsageError
from edge.images import read_image
from edge.tasks import TASKS, Frame
from edge.tasks._movenet import decode_person
from edge.zoo import MODELS
from scripts.record_tfjs import picture as slice_of

GOLDEN = Path(__file__).parents[2] / "golden"
ORIGINAL = json.loads((GOLDEN / "posenet_outputs.json").read_text())
TFJS = json.loads((GOLDEN / "tfjs_keypoints.json").read_text())["cases"]
POSENET = "posenet-mobilenetv1"
NAMES = (POSENET, "movenet-lightning", "movenet-thunder")
PARAMETERS = {POSENET: 1_258_195, "movenet-lightning": 2_317_974, "movenet-thunder": 6_226_046}
MACS = {POSENET: 1.091e9, "movenet-lightning": 0.270e9}  # counted over the published graphs
WHOLE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def multiplications(module, side):
    """Return the multiply-accumulates of all convolutions on one picture."""
    total = 0

    def count(layer, _, output):
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    hooks = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        module(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return total


def test_posenets_keys_and_shapes_are_the_published_ones():
    network = MODELS[POSENET].network()
    assert {name: list(tensor.shape) for name, tensor in network.state_dict().items()} == ORIGINAL["state"]


def test_posenet_computes_what_the_original_does():
    side = ORIGINAL["side"]
    with torch.no_grad():
        outputs = fill(MODELS[POSENET].network())(picture(3, side, side))
    outputs["heatmap"] = torch.sigmoid(outputs["heatmap"])  # the original's last operator
    assert list(outputs) == list(ORIGINAL["outputs"])
    for name, values in ORIGINAL["outputs"].items():
        np.testing.assert_allclose(outputs[name].flatten().numpy(), values, atol=1e-4, err_msg=name)


def test_a_checkpoint_of_the_published_layout_wins_over_the_packages_weights(tmp_path):
    state = fill(MODELS[POSENET].network()).state_dict()
    path = tmp_path / "mobilenet_v1_075.pth"
    torch.save(state, path)
    model = load(POSENET, path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.module.state_dict().items())
    assert load(POSENET, random_weights=True).source.origin.startswith("random")
    torch.save({name: tensor for name, tensor in state.items() if "conv13" not in name}, path)
    with pytest.raises(CheckpointError, match="4 missing"):
        load(POSENET, path)
    with pytest.raises(UsageError, match="published weights"):
        load("movenet-lightning", random_weights=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_published_networks_have_their_size(name):
    model = load(name)
    assert sum(parameter.numel() for parameter in model.module.parameters()) == PARAMETERS[name]
    assert "human-models 3.0.4" in model.source.origin
    if name in MACS:
        side = model.contract.inputs[0].shape[2]
        assert multiplications(model.module, side) == pytest.approx(MACS[name], rel=0.01)


@pytest.fixture(scope="module")
def answers(photos):
    """Return what our network answers in each recorded case."""
    photo, found = read_image(photos[0]), []
    for case in TFJS:
        model = load(case["model"])
        side = model.contract.inputs[0].shape[2]
        pixels = slice_of(photo, side, case["slice"])
        values = np.moveaxis(pixels / np.float32(127.5) - 1, 2, 0)[None].astype(np.float32)
        found.append((model, run_eager(model, model.contract, {"image": values})))
    return found


@pytest.mark.slow
def test_the_heads_are_tensorflow_js_own(answers):
    for case, (model, outputs) in zip(TFJS, answers, strict=True):
        for spec, head in zip(model.contract.outputs, case["heads"], strict=True):
            ours = np.moveaxis(outputs[spec.name], 1, 3)
            assert list(ours.shape) == head["shape"]
            thinned, wanted = ours.ravel()[:: head["step"]], np.array(head["values"])
            # The graph's own normalisation is rounded to half precision, ours is not: 3e-5 at the input.
            limit = 1e-3 * np.abs(wanted).max()
            assert np.abs(thinned - wanted).max() < limit, f"{case['model']}, {spec.name}"


@pytest.mark.slow
def test_the_decoder_ends_where_the_cut_tail_did(answers):
    for case, (_, outputs) in zip(TFJS, answers, strict=True):
        if case["keypoints"] is None:
            continue
        heads = [np.moveaxis(outputs[name][0], 0, 2) for name in ("heatmap", "center", "regression", "offset")]
        points, scores = decode_person(*heads)
        wanted = np.array(case["keypoints"]).reshape(17, 3)  # y, x in shares of the picture, score
        np.testing.assert_allclose(points[:, ::-1] / heads[0].shape[0], wanted[:, :2], atol=1e-3)
        np.testing.assert_allclose(scores, wanted[:, 2], atol=2e-3)


@pytest.mark.slow
def test_the_astronaut_is_found_and_the_cup_is_nobody(photos):
    for name in NAMES:
        model = load(name)
        task = TASKS[model.contract.task]
        results = []
        for path in photos[:2]:
            inputs, frame = task.prepare(read_image(path), model.contract)
            results.append(task.decode(run_eager(model, model.contract, inputs), model.contract, frame))
        (person,) = results[0].items
        nose, left_eye, right_eye = person.keypoints[:3]
        assert np.hypot(*(nose - (223, 125))) < 12
        assert right_eye[0] < nose[0] < left_eye[0]
        assert results[1].empty


@pytest.mark.slow
def test_several_astronauts_are_several_people(photos):
    model = load(POSENET)
    small = slice_of(read_image(photos[0]), 192, (0, 60, 2))
    both = np.zeros((385, 385, 3), np.uint8)
    both[96:288, :192], both[96:288, 192:384] = small, small[:, ::-1]
    values = np.moveaxis(both / np.float32(127.5) - 1, 2, 0)[None].astype(np.float32)
    outputs = run_eager(model, model.contract, {"image": values})
    found = TASKS["keypoints"].decode(outputs, model.contract, Frame((385, 385), (385, 385), WHOLE))
    assert len(found.items) == 2
    noses = sorted(person.keypoints[0, 0] for person in found.items)
    assert noses[0] + noses[1] == pytest.approx(383, abs=12)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_contract_fits_its_network(name):
    model = load(name)
    shapes = [spec.shape for spec in model.contract.outputs]
    outputs = flatten(model.module(torch.zeros(model.contract.inputs[0].shape)))
    assert [tuple(tensor.shape) for tensor in outputs] == shapes
