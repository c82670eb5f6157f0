"""How each target's runtime reaches an app: the package on Android and on iOS, and the oldest system it runs on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edge.artifact import Manifest
from edge.embed.versions import at_least, versions
from edge.errors import Refused
from edge.phones import System

Registry = Literal["maven", "swift", "pods", "system"]
NAMES: Mapping[System, str] = {"android": "Android", "ios": "iOS"}


@dataclass(frozen=True, slots=True)
class Package:
    """One package that a build file names."""

    registry: Registry
    name: str  # group:artifact, a repository's URL, or a pod
    products: tuple[str, ...] = ()  # of a Swift package

    @property
    def pinned(self) -> str:
        """Return the version that the sample apps are built with."""
        return versions()[self.registry][self.name]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an app needs so that one family of targets runs in it.

    `minimum` is the runtime's own: an API level on Android, a version on iOS. `library` is a native library that no
    package has; `word` is how a manifest's `min_runtime` names the runtime.
    """

    packages: tuple[Package, ...]
    minimum: str
    word: str = ""
    library: str = ""


_ET_SWIFT = "https://github.com/pytorch/executorch"
_ORT_SWIFT = "https://github.com/microsoft/onnxruntime-swift-package-manager"
_QNN = Package("maven", "com.qualcomm.qti:qnn-runtime")
_LITERT = Package("maven", "com.google.ai.edge.litert:litert")
_ORT_QNN = Package("maven", "com.microsoft.onnxruntime:onnxruntime-android-qnn")


def _executorch(flavor: str = "", *more: Package, library: str = "") -> Delivery:
    return Delivery((Package("maven", f"org.pytorch:executorch-android{flavor}"), *more), "23", "executorch", library)


def _executorch_ios(*products: str) -> Delivery:
    return Delivery((Package("swift", _ET_SWIFT, ("executorch", *products)),), "17.0", "executorch")


def _onnx(library: str = "") -> Delivery:
    return Delivery((Package("maven", "com.microsoft.onnxruntime:onnxruntime-android"),), "24", "ONNX Runtime", library)


# The oldest systems are those of the packages themselves: ExecuTorch's build.gradle and Package.swift, LiteRT's table
# of supported versions, ONNX Runtime's build settings. Chips have none: their phones came with newer systems.
_ANDROID: Mapping[str, Delivery] = {
    "executorch-xnnpack": _executorch(),
    "executorch-vulkan": _executorch("-vulkan"),
    "executorch-qnn": _executorch("-qnn", _QNN),
    "executorch-mediatek": _executorch(library="libneuron_backend.so"),
    "executorch-samsung": _executorch(library="libenn_backend.so"),
    "executorch-ternary": _executorch(library="libternary_executorch.so"),
    "litert-cpu": Delivery((_LITERT,), "23", "LiteRT"),
    "litert-qualcomm": Delivery((_LITERT, _QNN), "31", "LiteRT", "libLiteRtDispatch_Qualcomm.so"),
    "litert-mediatek": Delivery((_LITERT,), "31", "LiteRT", "libLiteRtDispatch_MediaTek.so"),
    "litert-google-tensor": Delivery((_LITERT,), "31", "LiteRT", "libLiteRtDispatch_GoogleTensor.so"),
    "litert-samsung": Delivery((_LITERT,), "31", "LiteRT", "libLiteRtDispatch_Samsung.so"),
    "onnx-cpu": _onnx(),
    "onnx-ternary": _onnx("libternary_onnxruntime.so"),
    "onnx-qnn": Delivery((_ORT_QNN, _QNN), "27", "ONNX Runtime"),
    "mediapipe-task": Delivery((Package("maven", "com.google.mediapipe:tasks-vision"),), "24", "MediaPipe Tasks"),
}
_IOS: Mapping[str, Delivery] = {
    "coreml": Delivery((), "16.0", "iOS"),
    "coreai": Delivery((), "27.0", "iOS"),
    "executorch-xnnpack": _executorch_ios("backend_xnnpack", "kernels_optimized", "kernels_quantized"),
    "executorch-coreml": _executorch_ios("backend_coreml", "kernels_optimized"),
    "onnx-cpu": Delivery((Package("swift", _ORT_SWIFT, ("onnxruntime",)),), "15.0", "ONNX Runtime"),
    "litert-cpu": Delivery((Package("pods", "TensorFlowLiteSwift"),), "12.0", "TensorFlow Lite"),
    "mediapipe-task": Delivery((Package("pods", "MediaPipeTasksVision"),), "15.0", "MediaPipe Tasks"),
}
DELIVERIES: Mapping[System, Mapping[str, Delivery]] = {"android": _ANDROID, "ios": _IOS}
_WHY: Mapping[tuple[str, System], str] = {
    ("coreml", "android"): "Core ML is a part of Apple's systems",
    ("coreai", "android"): "Core AI is a part of Apple's systems",
    ("executorch-coreml", "android"): "Core ML is a part of Apple's systems",
    ("executorch-vulkan", "ios"): "iPhones have no Vulkan",
    ("executorch-ternary", "ios"): "the kit's operators are built for Linux and Android only",
    ("onnx-ternary", "ios"): "the kit's operators are built for Linux and Android only",
}
_NEAREST: Mapping[System, str] = {
    "android": "executorch-xnnpack, litert-cpu or onnx-cpu",
    "ios": "coreml or executorch-xnnpack",
}


def family(target: str) -> str:
    """Return a target's id without its chip."""
    return target.split(":", 1)[0]


def delivery(target: str, system: System) -> Delivery:
    """Return how a target's runtime reaches an app; raises Refused if the system has no such runtime."""
    name = family(target)
    found = DELIVERIES[system].get(name)
    if found is None:
        other: System = "ios" if system == "android" else "android"
        chip = f"that runtime is for the chips of {NAMES[other]} phones" if name in DELIVERIES[other] else ""
        reason = _WHY.get((name, system)) or chip or "that runtime is for computers and boards"
        raise Refused(
            f"{target} does not run on {NAMES[system]}: {reason}; deploy the model with --target {_NEAREST[system]}"
        )
    return found


def needed_version(manifest: Manifest, word: str) -> str:
    """Return the oldest version of a runtime that the manifest asks for, or an empty string."""
    found = re.search(rf"(?<![\w-]){re.escape(word)} v?(\d+(?:\.\d+)*)", manifest.needs.min_runtime) if word else None
    return found.group(1) if found else ""


def package_needs(manifest: Manifest, shipped: Delivery, package: Package) -> str:
    """Return the oldest version of one package that the artifact runs with, or an empty string."""
    if package == _QNN:
        steps = [step.version for step in manifest.steps if step.tool == "QNN"]
        found = re.search(r"\d+\.\d+(\.\d+)?", steps[-1] if steps else needed_version(manifest, "QNN"))
        return found.group() if found else ""
    return needed_version(manifest, shipped.word)


def version_for(manifest: Manifest, shipped: Delivery, package: Package) -> str:
    """Return the version of a package to build with: the sample apps', or a newer one that the artifact needs."""
    needed = package_needs(manifest, shipped, package)
    return package.pinned if not needed or at_least(package.pinned, needed) else needed
