"""Selfie segmentation: a person's mask, for square and for landscape pictures.

Source: the MediaPipe selfie segmentation model card; a small U-net of MobileNetV3 blocks.
"""

from __future__ import annotations

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.zoo import PackageFile, WeightsFile, ZooModel, model


def _selfie(name: str, file: str, size: tuple[int, int], summary: str, sha256: str, size_bytes: int) -> ZooModel:
    return ZooModel(
        name=name,
        summary=summary,
        licence="Apache-2.0",
        subject="person",
        graph=WeightsFile(
            name=file,
            sha256=sha256,
            size_bytes=size_bytes,
            licence="Apache-2.0",
            sources=(
                PackageFile(
                    registry="pypi",
                    package="mediapipe",
                    version="0.10.21",
                    member=f"mediapipe/modules/selfie_segmentation/{file}",
                ),
            ),
        ),
        contract=Contract(
            inputs=(TensorSpec(name="image", shape=(1, 3, *size), layout="NCHW"),),
            outputs=(TensorSpec(name="mask", shape=(1, 1, *size), layout="NCHW"),),  # probability of a person
            task="segmentation",
            preprocess=Preprocess(size=size, resize="stretch", range=(0.0, 1.0)),
            postprocess=Postprocess(decoder="probability", settings={"threshold": 0.5}),
            labels=("background", "person"),
        ),
    )


@model
def selfie_segmentation() -> ZooModel:
    """Describe the square model."""
    return _selfie(
        "selfie-segmentation",
        "selfie_segmentation.tflite",
        (256, 256),
        "Selfie segmentation, 256 × 256, 0.1 M parameters: the probability of a person per pixel",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        249_505,
    )


@model
def selfie_segmentation_landscape() -> ZooModel:
    """Describe the landscape model."""
    return _selfie(
        "selfie-segmentation-landscape",
        "selfie_segmentation_landscape.tflite",
        (144, 256),
        "Selfie segmentation for landscape pictures, 144 × 256, 0.1 M parameters",
        "a77d03f4659b9f6b6c1f5106947bf40e99d7655094b6527f214ea7d451106edd",
        250_145,
    )
