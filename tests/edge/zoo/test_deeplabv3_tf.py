"""TensorFlow's variables of DeepLabV3 on MobileNetV2 under this kit's names."""

import numpy as np
import torch

from convert.load import load
from edge.zoo import MODELS
from edge.zoo._deeplabv3_tf import from_tensorflow

CHANNELS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)


def layer(scope, *shape, last="weights", norm=True):
    """Return a convolution's variables, and those of its batch norm, as TensorFlow names and lays them out."""
    random = torch.Generator().manual_seed(sum(map(ord, scope)))
    found = {f"{scope}/{last}": torch.randn(shape, generator=random)}
    channels = shape[2] if last == "depthwise_weights" else shape[3]
    if norm:
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            found[f"{scope}/BatchNorm/{part}"] = torch.rand(channels, generator=random)
    return found


def variables():
    found = layer("MobilenetV2/Conv", 3, 3, 3, 32)
    channels = 32
    for number, out in enumerate(CHANNELS):
        scope = "MobilenetV2/expanded_conv" + (f"_{number}" if number else "")
        wide = channels * 6 if number else channels
        if number:
            found |= layer(f"{scope}/expand", 1, 1, channels, wide)
        found |= layer(f"{scope}/depthwise", 3, 3, wide, 1, last="depthwise_weights")
        found |= layer(f"{scope}/project", 1, 1, wide, out)
        channels = out
    for scope, count in (("image_pooling", 320), ("aspp0", 320), ("concat_projection", 512)):
        found |= layer(scope, 1, 1, count, 256)
    return found | layer("logits/semantic", 1, 1, 256, 21, norm=False) | {"logits/semantic/biases": torch.rand(21)}


def test_every_variable_has_its_place():
    training = {"global_step": torch.tensor(5), "aspp0/weights/Momentum": torch.zeros(1, 1, 320, 256)}
    given = variables()
    state = from_tensorflow({**given, **training})
    network = MODELS["deeplabv3-mobilenet-v2"].network()
    network.load_state_dict(state, strict=True)
    stem = given["MobilenetV2/Conv/weights"]
    assert torch.equal(network.backbone[0][0].weight[5, 2], stem[:, :, 2, 5])
    depthwise = given["MobilenetV2/expanded_conv_16/depthwise/depthwise_weights"]
    assert torch.equal(network.backbone[17].conv[1][0].weight[7, 0], depthwise[:, :, 7, 0])
    assert torch.equal(network.classifier[1].bias, given["logits/semantic/biases"])


def test_the_picture_s_mean_comes_first_in_tensorflow():
    given = variables()
    projection = given["concat_projection/weights"][0, 0]  # (in, out)
    state = from_tensorflow(given)
    mean, features = torch.rand(256), torch.rand(256)
    theirs = torch.cat([mean, features]) @ projection
    ours = state["classifier.0.project.0.weight"][:, :, 0, 0] @ torch.cat([features, mean])
    torch.testing.assert_close(ours, theirs)


def test_other_state_dicts_stay_and_strange_variables_are_left_for_the_loader():
    state = {"backbone.0.0.weight": torch.zeros(1)}
    assert from_tensorflow(state) == state
    strange = {"MobilenetV2/Conv_1/weights": torch.zeros(1, 1, 320, 1280), "aspp1/weights": torch.zeros(3, 3, 320, 256)}
    assert from_tensorflow(strange) == strange


def test_a_file_of_variables_loads_by_the_models_name(tmp_path):
    given = variables()
    np.savez(tmp_path / "voc.npz", **{name: tensor.numpy() for name, tensor in given.items()})
    model = load("deeplabv3-mobilenet-v2", tmp_path / "voc.npz")
    assert torch.equal(model.module.classifier[1].bias, given["logits/semantic/biases"])
