"""EfficientNet-Lite0: the published keys, features and padding, and what its real weights see in a real picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from edge.zoo._efficientnet_lite import CHANNELS, SIDE, _SameConv2d, build, normalised, pretrained_weights

# ImageNet's numbers of what the sample photographs show: tabby, tiger cat, Egyptian cat, lynx; cup, espresso.
SEEN = {"chelsea.png": {281, 282, 285, 287}, "coffee.png": {968, 967}}


@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 33)])
def test_features_at_every_stride(height, width):
    with torch.device("meta"):
        features = build()(torch.empty(2, 3, height, width))
    for feature, channels, stride in zip(features, CHANNELS, (4, 8, 16, 32), strict=True):
        assert tuple(feature.shape) == (2, channels, -(-height // stride), -(-width // stride))


def test_keys_and_parameters():
    with torch.device("meta"):
        network = build()
    keys = list(network.state_dict())
    assert len(keys) == 296
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_652_008
    assert {"_conv_stem.weight", "_blocks.0._bn1.bias", "_blocks.15._expand_conv.weight", "_fc.bias"} <= set(keys)
    assert "_blocks.0._expand_conv.weight" not in keys


@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 2), (9, 3, 2), (8, 5, 2), (7, 5, 1), (6, 1, 1)])
def test_padding_is_tensorflows(size, kernel, stride):
    layer = _SameConv2d(1, 1, kernel, stride)
    torch.nn.init.ones_(layer.weight)
    with torch.no_grad():
        found = layer(torch.ones(1, 1, size, size))[0, 0]
    out = -(-size // stride)
    before = max((out - 1) * stride + kernel - size, 0) // 2
    covered = [min(i * stride - before + kernel, size) - max(i * stride - before, 0) for i in range(out)]
    assert torch.equal(found, torch.tensor(np.outer(covered, covered), dtype=torch.float32))


@pytest.mark.slow
def test_real_weights_see_what_is_there(photos):
    network = build(pretrained_weights())
    for path in photos:
        if path.name not in SEEN:
            continue
        with Image.open(path) as picture:
            side = min(picture.size)
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            square = picture.convert("RGB").crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
        pixels = torch.from_numpy(np.array(square, np.float32) / 255).permute(2, 0, 1)[None]
        with torch.no_grad():
            shares = network.classify(normalised(pixels)).softmax(1)[0]
        assert int(shares.argmax()) in SEEN[path.name]
        assert float(shares[sorted(SEEN[path.name])].sum()) > 0.5


def test_a_file_that_does_not_fit_is_an_error(tmp_path):
    torch.save({"_fc.bias": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(RuntimeError, match="Missing key"):
        build(tmp_path / "other.pth")
