"""What the recipe multi-teacher shows to whom, whom it learns from, and what it writes; with three made-up teachers."""

import pytest
import torch
from safetensors.torch import load_file

from convert.load import load
from edge.train.averaging import AveragedWeights
from edge.train.recipe import CHECKPOINT
from edge.train.recipes._multi_teacher import MultiTeacherLearner
from edge.train.recipes._people import pixels_to_inputs
from edge.train.state import write_checkpoint
from edge.train.teachers import Teacher
from edge.zoo import MODELS
from edge.zoo._person_segmentation import PersonSegmenter

MODEL = "person-segmentation"
CONTRACT = MODELS[MODEL].contract
SIDE, PATCH, HIDDEN = 64, 16, 6  # pixels; 6 of the 16 patches are hidden, 40 %


class Watched:
    """Features of a random convolution; keeps the pictures that it was shown."""

    def __init__(self, channels, stride):
        self.weights, self.stride = torch.randn(channels, 3, 3, 3), stride
        self.seen = []

    def __call__(self, pictures):
        self.seen.append(pictures)
        return torch.nn.functional.conv2d(pictures, self.weights, stride=self.stride, padding=1)


@pytest.fixture
def watched():
    torch.manual_seed(0)
    return [Watched(channels, stride) for channels, stride in ((4, 8), (1, 4), (7, 16))]


@pytest.fixture
def learner(watched):
    names = ("features", "mask", "pose")
    teachers = [Teacher(name, each, len(each.weights)) for name, each in zip(names, watched, strict=True)]
    return MultiTeacherLearner(PersonSegmenter(), teachers, CONTRACT)


def pictures(count, seed=1):
    made = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=made)  # no pixel is black


def test_the_student_sees_masked_pictures_and_the_teachers_whole_ones(learner, watched):
    shown = []
    learner.network.network.backbone.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    images = pictures(2)
    losses = learner.eval()({"image": images})
    assert set(losses) == {"features", "mask", "pose"}
    for teacher in watched:
        (seen,) = teacher.seen
        assert torch.equal(seen, images.float() / 255.0)
    (masked,) = shown
    whole = pixels_to_inputs(images, CONTRACT.preprocess)
    hidden = (masked == 0).all(dim=1)
    assert torch.equal(masked, whole * ~hidden[:, None])
    patches = hidden.unflatten(1, (-1, PATCH)).unflatten(3, (-1, PATCH)).float().mean(dim=(2, 4))
    assert set(patches.unique().tolist()) == {0.0, 1.0}
    assert patches.sum(dim=(1, 2)).tolist() == [HIDDEN, HIDDEN]
    assert not torch.equal(hidden[0], hidden[1])


@pytest.mark.parametrize("farthest", [0, 1, 2])
def test_the_farthest_teacher_never_sits_out(learner, farthest):
    with torch.no_grad():
        learner.teachers.projectors[farthest].layers[-1].bias.fill_(50.0)  # what the student says is far from it
    heard = []
    for turn in range(24):
        torch.manual_seed(turn)
        with torch.no_grad():
            losses = learner.train()({"image": pictures(1)})
        heard.append([float(loss) > 0 for loss in losses.values()])
    for place, turns in enumerate(zip(*heard, strict=True)):
        assert sum(turns) == 24 if place == farthest else 4 < sum(turns) < 20  # of 24, half on average
    with torch.no_grad():
        assert all(float(loss) > 0 for loss in learner.eval()({"image": pictures(1)}).values())  # all are measured


def test_the_checkpoint_is_the_models_own(learner, tmp_path):
    held = set(learner.state_dict())
    assert any(name.startswith("teachers.projectors.2.") for name in held)
    write_checkpoint(AveragedWeights(learner.network, 0.9).network, tmp_path)
    written = set(load_file(tmp_path / CHECKPOINT))
    assert written == set(PersonSegmenter().state_dict())
    assert not any("teachers" in name or "projectors" in name for name in written)
    load(MODEL, tmp_path / CHECKPOINT)
