"""Record keys, shapes and outputs of published segmentation networks, in tests/golden/segmentation_networks.json.

    python -m scripts.record_segmentation TORCHVISION DEEPLAB DETECTRON2

TORCHVISION is a checkout of github.com/pytorch/vision or an unpacked wheel, DEEPLAB one of
github.com/jfzhang95/pytorch-deeplab-xception, DETECTRON2 one of github.com/facebookresearch/detectron2. Their networks
get the weights of `tests/edge/zoo/filled.py` through this kit's networks, strictly, and a picture of waves. torchvision
need not fit the installed PyTorch: operators that it lacks are declared, never called.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden" / "segmentation_networks.json"
SAMPLES = 60
PICTURE_HW = (97, 129)
Answer = Callable[[nn.Module], dict[str, Tensor]]


def main() -> None:
    """Write the golden file."""
    torchvision, deeplab, detectron2 = sys.argv[1:4]
    sys.path[:0] = [str(ROOT / "tests" / "edge" / "zoo"), torchvision, deeplab]
    golden = {**_torchvision(), **_jfzhang95(), **_detectron2(Path(detectron2))}
    lines = [f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in golden.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def record(own: nn.Module, original: nn.Module, answer: Answer, aliases: tuple[str, ...] = ()) -> dict[str, Any]:
    """Give the original the kit's network's weights and return its keys and shapes, and samples of its outputs.

    Keys that begin with one of `aliases` are second names of the same tensors.
    """
    fill = importlib.import_module("filled").fill
    state = fill(own).state_dict()
    missing, unexpected = original.load_state_dict(state, strict=False)
    if unexpected or [key for key in missing if not key.startswith(aliases)]:
        raise SystemExit(f"keys differ: {missing[:5]} missing, {unexpected[:5]} unexpected")
    with torch.no_grad():
        outputs = answer(original.eval())
    return {
        "keys": {key: list(value.shape) for key, value in original.state_dict().items() if not key.startswith(aliases)},
        "outputs": {name: sampled(tensor) for name, tensor in outputs.items()},
    }


def sampled(tensor: Tensor) -> dict[str, Any]:
    """Return shape, greatest magnitude and some values, evenly spread."""
    flat = tensor.flatten()
    step = max(1, flat.numel() // SAMPLES)
    return {"shape": list(tensor.shape), "max": float(flat.abs().max()), "step": step, "values": flat[::step].tolist()}


def _picture(network: nn.Module) -> dict[str, Tensor]:
    found = network(importlib.import_module("filled").picture(3, *PICTURE_HW))
    return {"out": found["out"] if isinstance(found, dict) else found}


def _torchvision() -> dict[str, Any]:
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision.models import mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.segmentation.deeplabv3 import ASPP, DeepLabV3, _deeplabv3_mobilenetv3
    from torchvision.models.segmentation.lraspp import _lraspp_mobilenetv3

    from edge.zoo import MODELS

    def atrous_mobilenet_v2() -> nn.Module:
        """torchvision has no atrous MobileNetV2: its strided residual and the three after it are changed here."""
        features = mobilenet_v2(norm_layer=lambda channels: nn.BatchNorm2d(channels, eps=1e-3)).features
        for index, dilation in ((14, 1), (15, 2), (16, 2), (17, 2)):
            depthwise = features[index].conv[1][0]
            depthwise.stride, depthwise.dilation, depthwise.padding = (1, 1), (dilation,) * 2, (dilation,) * 2
        backbone = IntermediateLayerGetter(features, {"17": "out"})
        head = nn.Sequential(ASPP(320, []), nn.Conv2d(256, 21, 1))
        return DeepLabV3(backbone, head)

    def at_corners(network: nn.Module) -> dict[str, Tensor]:
        """TensorFlow resizes the logits with the corners aligned."""
        picture = importlib.import_module("filled").picture(3, *PICTURE_HW)
        logits = network.classifier(network.backbone(picture)["out"])
        return {"out": nn.functional.interpolate(logits, PICTURE_HW, mode="bilinear", align_corners=True)}

    originals = {
        "lraspp-mobilenet-v3-large": lambda: _lraspp_mobilenetv3(mobilenet_v3_large(dilated=True), 21),
        "lraspp-mobilenet-v3-small": lambda: _lraspp_mobilenetv3(mobilenet_v3_small(dilated=True), 21),
        "deeplabv3-mobilenet-v3-large": lambda: _deeplabv3_mobilenetv3(mobilenet_v3_large(dilated=True), 21, True),
        "deeplabv3-mobilenet-v3-small": lambda: _deeplabv3_mobilenetv3(mobilenet_v3_small(dilated=True), 21, True),
    }
    found = {name: record(_own(MODELS[name].network), build(), _picture) for name, build in originals.items()}
    name = "deeplabv3-mobilenet-v2"
    found[name] = record(_own(MODELS[name].network), atrous_mobilenet_v2(), at_corners)
    return found


def _own(build: Callable[[], nn.Module] | None) -> nn.Module:
    if build is None:
        raise SystemExit("the model has no network")
    return build()


def _jfzhang95() -> dict[str, Any]:
    from torch.utils import model_zoo

    from edge.zoo import MODELS

    model_zoo.load_url = lambda url: {}  # the weights of its backbone, which are replaced anyway
    original = importlib.import_module("modeling.deeplab").DeepLab("mobilenet", 16, 21, sync_bn=False)
    entry = MODELS["deeplabv3-plus-mobilenet-v2"]
    return {entry.name: record(_own(entry.network), original, _picture, aliases=entry.unused_keys)}


def _detectron2(checkout: Path) -> dict[str, Any]:
    from edge.zoo._panoptic_deeplab import ConvNorm, Predictor, instance_branch, semantic_branch

    heads = _detectron2_heads(checkout)
    channels = (72, 120, 960)
    shapes = {
        level: SimpleNamespace(channels=count, stride=stride)
        for level, count, stride in zip(("res2", "res3", "res5"), channels, (4, 8, 16), strict=True)
    }
    common: dict[str, Any] = {
        "aspp_dilations": [6, 12, 18], "aspp_dropout": 0.1, "common_stride": 4, "norm": "BN", "train_size": None,
        "use_depthwise_separable_conv": True,
    }  # fmt: skip
    semantic = heads.PanopticDeepLabSemSegHead(
        shapes, project_channels=[32, 64], decoder_channels=[256, 256, 256], head_channels=256, loss_weight=1.0,
        loss_type="cross_entropy", loss_top_k=1.0, ignore_value=255, num_classes=133, **common,
    )  # fmt: skip
    instance = heads.PanopticDeepLabInsEmbedHead(
        shapes, project_channels=[16, 32], decoder_channels=[128, 128, 256], head_channels=32, center_loss_weight=1.0,
        offset_loss_weight=1.0, **common,
    )  # fmt: skip

    def stacked(wide: int, out: int) -> nn.Module:
        """detectron2 keeps two 3 × 3 convolutions before the centres, whatever the other layers are."""
        return nn.Sequential(ConvNorm(wide, wide, 3), ConvNorm(wide, out, 3))

    picture = importlib.import_module("filled").picture
    features = {
        level: picture(count, 48 // stride, 64 // stride)
        for level, count, stride in zip(("res2", "res3", "res5"), channels, (1, 2, 4), strict=True)
    }
    own = Predictor(channels, instance_branch(center_=stacked))
    return {
        "panoptic-deeplab semantic": record(
            Predictor(channels, semantic_branch(133)), semantic, lambda head: {"": head.layers(features)}
        ),
        "panoptic-deeplab instance": record(
            own, instance, lambda head: dict(zip(("center_", "offset_"), head.layers(features), strict=True))
        ),
    }


class _Anything(ModuleType):
    """Stand for every module, decorator and registry of detectron2 that building a head does not need."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        only = len(arguments) == 1 and not named and (callable(arguments[0]) or isinstance(arguments[0], nn.Module))
        return arguments[0] if only else self


def _detectron2_heads(checkout: Path) -> Any:
    """Import the heads with the layers that they are made of, and nothing else of detectron2."""
    stand_ins(
        "fvcore", "fvcore.nn", "fvcore.nn.weight_init", "fvcore.nn.distributed", "detectron2", "detectron2.config",
        "detectron2.data", "detectron2.modeling", "detectron2.modeling.postprocessing", "detectron2.structures",
        "detectron2.utils", "detectron2.utils.registry", "detectron2.utils.comm", "detectron2.utils.env",
        "detectron2.projects", "detectron2.projects.deeplab", "detectron2.projects.deeplab.loss", "detectron2.layers",
        "panoptic_deeplab", "panoptic_deeplab.post_processing",
    )  # fmt: skip
    load_layers(checkout, "wrappers", "batch_norm", "blocks", "aspp")
    projects = checkout / "projects"
    sys.modules["detectron2.projects.deeplab"] = load_file(
        "detectron2.projects.deeplab.semantic_seg", projects / "DeepLab" / "deeplab" / "semantic_seg.py"
    )
    return load_file(
        "panoptic_deeplab.panoptic_seg", projects / "Panoptic-DeepLab" / "panoptic_deeplab" / "panoptic_seg.py"
    )


def load_layers(checkout: Path, *names: str) -> None:
    """Import files of detectron2's layers, among modules that are stood in for."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    environment = sys.modules["detectron2.utils.env"]
    vars(environment)["TORCH_VERSION"] = version
    vars(sys.modules["detectron2.utils"])["env"] = environment
    layers = sys.modules["detectron2.layers"]
    for name in names:
        module = load_file(f"detectron2.layers.{name}", checkout / "detectron2" / "layers" / f"{name}.py")
        for public in ("Conv2d", "get_norm", "CNNBlockBase", "DepthwiseSeparableConv2d", "ASPP"):
            if hasattr(module, public) and not isinstance(getattr(module, public), _Anything):
                setattr(layers, public, getattr(module, public))


def stand_ins(*names: str) -> None:
    """Let modules be imported that are not there and not needed."""
    for name in names:
        sys.modules[name] = _Anything(name)


def load_file(name: str, path: Path) -> ModuleType:
    """Import one file under a name; raises SystemExit if it cannot be."""
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise SystemExit(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
