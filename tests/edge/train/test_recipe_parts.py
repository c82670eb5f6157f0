"""What the recipes compute with: losses and targets against loops, baselines, and the networks' sizes."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from edge.contract import Preprocess
from edge.images import to_tensor
from edge.tasks import TASKS, Frame, Region
from edge.tasks._geometry import region_matrix
from edge.train.data.mix import shuffled
from edge.train.data.sample import SEEN, Sample
from edge.train.perceptual import PerceptualDistance
from edge.train.recipes._people import ElsewherePlaced, pixels_to_inputs
from edge.train.recipes._person_segmentation import dice_loss, fitted, mask_ious, mean_mask
from edge.train.recipes._pose_student import PoseLearner, depth_pixels, heatmap_targets, mean_pose, pose_scores
from edge.train.recipes._titok_tiny import _BYTES, TokenizerLearner, _thumbnail, _thumbnail_side, psnr
from edge.train.study import frozen
from edge.zoo import MODELS
from edge.zoo._efficientnet_lite import build as build_features
from edge.zoo._pose_student import CELLS, LANDMARKS, SIDE, STRIDE, PoseStudent
from edge.zoo._titok_whole import build as build_tokenizer
from edge.zoo.titok import tiny

RANDOM = np.random.default_rng(3)


def person(size=96, offset=0.0):
    """A sample whose keypoints and mask lie in the picture."""
    keypoints = (RANDOM.uniform(0.3, 0.7, (33, 2)) * size + offset).astype(np.float32)
    mask = np.zeros((size, size), np.float32)
    mask[size // 4 : 3 * size // 4, size // 3 : 2 * size // 3] = 1.0
    return Sample(
        image=RANDOM.integers(0, 256, (size, size, 3), np.uint8),
        keypoints=keypoints,
        states=np.full(33, SEEN, np.int8),
        confidence=np.ones(33, np.float32),
        world=RANDOM.normal(size=(33, 3)).astype(np.float32),
        mask=mask,
    )


@pytest.mark.parametrize("name", ["pose-student", "person-segmentation"])
def test_pixels_become_inputs_as_the_contract_has_it(name):
    contract = MODELS[name].contract
    side = contract.inputs[0].size_hw[0]
    pixels = RANDOM.integers(0, 256, (side, side, 3), np.uint8)
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    assert np.allclose(pixels_to_inputs(image, contract.preprocess), to_tensor(pixels, contract), atol=1e-6)
    scaled = pixels_to_inputs(image, Preprocess(size=(side, side), range=(-1.0, 1.0)))
    assert -1.0 <= scaled.min() < scaled.max() <= 1.0


def test_heatmaps_are_gaussians_where_the_keypoints_are():
    keypoints = torch.tensor([[[5.5, 101.5], [191.0, 0.0], [-80.0, 10.0]]])
    sure = torch.tensor([[1.0, 0.5, 1.0]])
    found = heatmap_targets(keypoints, sure)
    assert found.shape == (1, 3, CELLS, CELLS)
    naive = torch.zeros_like(found)
    for k in range(3):
        for row in range(CELLS):
            for column in range(CELLS):
                x, y = ((float(keypoints[0, k, i]) + 0.5) / STRIDE - 0.5 for i in (0, 1))
                distance2 = (column - x) ** 2 + (row - y) ** 2
                naive[0, k, row, column] = float(sure[0, k]) * np.exp(-distance2 / (2 * 1.25**2))
    assert torch.allclose(found, naive, atol=1e-6)
    assert divmod(int(found[0, 0].argmax()), CELLS) == (25, 1)
    assert found[0, 2].max() < 1e-3  # far outside


def test_depth_is_on_the_scale_of_the_picture():
    world = torch.randn(2, 33, 3)
    keypoints = world[..., :2] * 70.0 + 96.0
    assert torch.allclose(
        depth_pixels({"keypoints": keypoints, "world": world})[..., 0], world[..., 2] * 70.0, atol=1e-3
    )
    nobody = {"keypoints": torch.zeros(1, 33, 2), "world": torch.zeros(1, 33, 3)}
    assert torch.isfinite(depth_pixels(nobody)).all()


def test_dice_is_the_naive_one():
    probability, mask = torch.rand(3, 7, 5), (torch.rand(3, 7, 5) > 0.5).float()
    for index, found in enumerate(dice_loss(probability, mask)):
        p, m = probability[index].flatten().tolist(), mask[index].flatten().tolist()
        both = sum(a * b for a, b in zip(p, m, strict=True))
        expected = 1 - (2 * both + 1) / (sum(a * a for a in p) + sum(b * b for b in m) + 1)
        assert float(found) == pytest.approx(expected, abs=1e-5)
    assert float(dice_loss(mask, mask).max()) == pytest.approx(0.0, abs=1e-6)
    empty = torch.zeros(1, 4, 4)
    assert float(dice_loss(empty, empty)) == pytest.approx(0.0, abs=1e-6)


def test_the_mean_mask_fits_pictures_of_any_shape():
    masks = [person(64).mask for _ in range(4)]
    mean = mean_mask(masks)
    assert (
        mask_ious({"same": tuple(person(64) for _ in range(2))}, lambda image: fitted(mean, image))["IoU same"] > 0.95
    )
    for shape in ((40, 90, 3), (90, 40, 3), (64, 64, 3)):
        assert fitted(mean, np.zeros(shape, np.uint8)).shape == shape[:2]


def test_a_student_that_says_the_truth_has_oks_1():
    samples = (person(), person(200))
    assert pose_scores({"x": samples}, lambda sample, _: sample.keypoints.astype(float)) == {"OKS x": 1.0}
    worse = pose_scores({"x": samples}, lambda sample, _: sample.keypoints.astype(float) + 4.0)["OKS x"]
    assert 0.0 < worse < 1.0
    assert mean_pose(samples).shape == (33, 2)


def test_the_students_places_are_where_its_heatmaps_peak():
    torch.manual_seed(0)
    network = PoseStudent().eval()
    places = torch.rand(1, LANDMARKS, 2) * 150.0 + 20.0
    heatmap = 30.0 * heatmap_targets(places, torch.ones(1, LANDMARKS))
    network.heatmap = Constant(heatmap)
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, SIDE, SIDE))
    found = outputs["landmarks"].reshape(LANDMARKS, 5)[:, :2]
    assert torch.allclose(found, places[0], atol=1.5)
    contract = MODELS["pose-student"].contract
    for spec in contract.outputs:
        assert outputs[spec.name].shape == spec.shape
    region = Region(100.0, 80.0, 192.0)
    frame = Frame((200, 200), (SIDE, SIDE), region_matrix(region, (SIDE, SIDE)), region)
    pose = TASKS[contract.task].decode({name: value.numpy() for name, value in outputs.items()}, contract, frame)
    assert np.abs(pose.points[:, :2] - (places[0].numpy() + np.array([4.0, -16.0]))).max() < 3.5  # cells of 4 pixels


class Constant(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, _):
        return self.value


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("pose-student", 2_158_568, 254.8e6),
        ("person-segmentation", 1_074_874, 88.0e6),
        ("pr-vipe-small", 1_085_986, 1.08e6),
    ],
)
def test_what_is_trained_has_at_most_five_megabytes_in_fp16(name, parameters, macs):
    network, contract = MODELS[name].network().eval(), MODELS[name].contract
    assert sum(2 * value.numel() for value in network.state_dict().values()) < 5e6
    assert sum(value.numel() for value in network.parameters()) == parameters
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(contract.inputs[0].shape))
    assert counter.get_total_flops() / 2 == pytest.approx(macs, rel=5e-3)


def test_a_pose_without_a_person_has_finite_losses():
    learner = PoseLearner(PoseStudent(), MODELS["pose-student"].contract)
    batch = {
        "image": torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8),
        "keypoints": torch.zeros(2, LANDMARKS, 2),
        "states": torch.zeros(2, LANDMARKS, dtype=torch.int8),
        "confidence": torch.ones(2, LANDMARKS),
        "world": torch.zeros(2, LANDMARKS, 3),
        "world_known": torch.tensor([True, False]),
    }
    losses = learner(batch)
    assert all(bool(torch.isfinite(value)) for value in losses.values())
    assert {name: float(losses[name].detach()) for name in ("place", "depth", "world", "states")} == {
        "place": 0.0, "depth": 0.0, "world": 0.0, "states": 0.0,
    }  # fmt: skip
    sum(losses.values()).backward()


def test_the_perceptual_distance_sees_what_pixels_do_not():
    torch.manual_seed(0)
    looks = PerceptualDistance(frozen(build_features()))
    picture = torch.rand(1, 3, 64, 64)
    assert float(looks(picture, picture)) == pytest.approx(0.0, abs=1e-6)
    changed = picture.clone().requires_grad_(True)
    distance = looks(changed * 0.5, picture)
    distance.backward()
    assert float(distance.detach()) > 0
    assert changed.grad.abs().sum() > 0
    assert not any(weight.requires_grad for weight in looks.network.parameters())


def test_codes_that_nothing_chooses_are_renewed():
    torch.manual_seed(0)
    learner = TokenizerLearner(build_tokenizer(tiny()), lambda a, b: (a - b).square().mean(), tiny().codes)
    batch = {"image": torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8)}
    before = learner.network.quantize.embedding.weight.clone()
    learner.steps.fill_(48)
    learner(batch)
    assert torch.equal(learner.network.quantize.embedding.weight, before)
    used = int(learner.used.sum())
    assert 0 < used <= 64
    losses = learner(batch)
    moved = (learner.network.quantize.embedding.weight != before).any(dim=1)
    assert int(moved.sum()) == tiny().codes - used
    assert not learner.used.any()
    assert set(losses) == {"l1", "l2", "perceptual", "commitment", "codebook"}


def test_psnr_and_thumbnails():
    picture = torch.rand(3, 128, 128)
    assert psnr(picture, picture) == 100.0
    assert psnr(torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.1)) == pytest.approx(20.0, abs=1e-3)
    assert 3 * _thumbnail_side() ** 2 <= _BYTES < 3 * (_thumbnail_side() + 1) ** 2
    assert _thumbnail(picture, 1).std(dim=(1, 2)).max() < 1e-6
    assert psnr(_thumbnail(picture, 64), picture) > psnr(_thumbnail(picture, 4), picture)


def test_half_of_the_people_stand_in_another_place():
    given = person()
    shown = [ElsewherePlaced(shuffled((given,), 0), seed=1)[index] for index in range(24)]
    moved = [sample for sample in shown if not np.array_equal(sample.image, given.image)]
    assert 6 <= len(moved) <= 18
    inside = given.mask > 0.5
    for sample in moved:
        assert np.array_equal(sample.image[inside], given.image[inside])
        assert (sample.image[~inside] != given.image[~inside]).mean() > 0.9
        assert sample.keypoints is given.keypoints
    again = ElsewherePlaced(shuffled((given,), 0), seed=1)[7]
    assert np.array_equal(again.image, shown[7].image)
