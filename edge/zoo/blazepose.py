"""BlazePose: a person detector and landmark models in three sizes.

Source: Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking", 2020 (arXiv:2006.10204), and
the MediaPipe graphs that ship these files.
"""

from __future__ import annotations

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import PackageFile, WeightsFile, ZooModel, model


def _wheel(member: str) -> PackageFile:
    return PackageFile(registry="pypi", package="mediapipe", version="0.10.21", member=f"mediapipe/modules/{member}")


def _tarball(name: str) -> PackageFile:
    return PackageFile(registry="npm", package="@mediapipe/pose", version="0.5.1675469404", member=f"package/{name}")


@model
def blazepose_detector() -> ZooModel:
    """Describe the detector: 2254 boxes with four keypoints each, over anchors of three strides."""
    return ZooModel(
        name="blazepose-detector",
        summary="BlazePose person detector, 224 × 224: boxes and the two points that align a person",
        licence="Apache-2.0",
        graph=WeightsFile(
            name="pose_detection.tflite",
            sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
            size_bytes=2_959_046,
            licence="Apache-2.0",
            sources=(_wheel("pose_detection/pose_detection.tflite"),),
        ),
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, 224, 224), layout="NCHW"),),
            outputs=(
                TensorSpec(name="boxes", shape=(1, 2254, 12)),  # centre x, y, width, height, 4 × (x, y); pixels
                TensorSpec(name="scores", shape=(1, 2254, 1)),  # logits
            ),
            task="pose-detection",
            preprocess=Preprocess(size=(224, 224), resize="letterbox", range=(-1.0, 1.0)),
            postprocess=Postprocess(
                decoder="ssd",
                settings={
                    "strides": [8, 16, 32],
                    "anchors_per_cell": [2, 2, 6],
                    "score_threshold": 0.5,
                    "iou_threshold": 0.3,
                    "scale": 224.0,
                },
            ),
            labels=("person",),
        ),
    )


def _landmarks(size: str, summary: str, sha256: str, size_bytes: int, *sources: PackageFile) -> ZooModel:
    """Describe one landmark model; the three share names, shapes and meaning of everything."""
    return ZooModel(
        name=f"blazepose-{size}",
        summary=summary,
        licence="Apache-2.0",
        graph=WeightsFile(
            name=f"pose_landmark_{size}.tflite",
            sha256=sha256,
            size_bytes=size_bytes,
            licence="Apache-2.0",
            sources=sources,
        ),
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, 256, 256), layout="NCHW"),),
            outputs=(
                TensorSpec(name="landmarks", shape=(1, 195)),  # 39 × (x, y, z in pixels, visibility, presence logits)
                TensorSpec(name="presence", shape=(1, 1)),  # probability
                TensorSpec(name="mask", shape=(1, 1, 256, 256), layout="NCHW"),  # logits
                TensorSpec(name="heatmap", shape=(1, 39, 64, 64), layout="NCHW"),  # logits
                TensorSpec(name="world", shape=(1, 117)),  # 39 × (x, y, z) in metres from the hips' middle
            ),
            task="pose-landmarks",
            preprocess=Preprocess(size=(256, 256), resize="letterbox", range=(0.0, 1.0)),
            postprocess=Postprocess(decoder="landmarks"),
        ),
        companion="blazepose-detector",
    )


@model
def blazepose_lite() -> ZooModel:
    """Describe the smallest landmark model."""
    return _landmarks(
        "lite",
        "BlazePose landmarks, 256 × 256, 1.3 M parameters: 33 points in 2D and 3D, mask; the fastest",
        "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
        2_819_824,
        _tarball("pose_landmark_lite.tflite"),
    )


@model
def blazepose_full() -> ZooModel:
    """Describe the middle landmark model."""
    return _landmarks(
        "full",
        "BlazePose landmarks, 256 × 256, 3.1 M parameters: 33 points in 2D and 3D, mask",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        6_440_512,
        _wheel("pose_landmark/pose_landmark_full.tflite"),
        _tarball("pose_landmark_full.tflite"),
    )


@model
def blazepose_heavy() -> ZooModel:
    """Describe the largest landmark model."""
    return _landmarks(
        "heavy",
        "BlazePose landmarks, 256 × 256, 13.7 M parameters: 33 points in 2D and 3D, mask; the most accurate",
        "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
        27_709_200,
        _tarball("pose_landmark_heavy.tflite"),
    )
