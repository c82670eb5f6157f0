"""Qualcomm's AI Engine Direct (QNN): the Hexagon compiler and, on x86, an emulator of the chip.

The wheels of onnxruntime-qnn on PyPI carry the libraries. Runtimes are bound to versions: ExecuTorch 1.5.1 creates a
device with 2.49 only, LiteRT 2.3's compiler plugin wants at least 2.50.
"""

from __future__ import annotations

from edge.sdk import Sdk, Wheel, sdk

_FOLDER = "lib/x86_64-linux-clang"
_LIBRARIES = ("libQnnHtp.so", "libHtpPrepare.so", "libQnnSystem.so")
_PROVIDER = "libonnxruntime_providers_qnn.so"  # ONNX Runtime's plugin: in the wheel, not in Qualcomm's own download


def _qnn(version: str, build: str, wheel: str, sha256: str, libraries: tuple[str, ...]) -> Sdk:
    return Sdk(
        name=f"qnn-{version}",
        group="qnn",
        title=f"Qualcomm QNN {version}",
        vendor="Qualcomm",
        version=version,
        licence="Qualcomm's own licence: use with Qualcomm chips, no redistribution",
        licence_file="licence/Qualcomm_LICENSE.pdf",
        wheels=(
            Wheel(
                package="onnxruntime-qnn",
                version=wheel,
                sha256=sha256,
                members={
                    "onnxruntime_qnn/lib": _FOLDER,
                    "onnxruntime_qnn.libs/": _FOLDER,  # the C++ runtime that the libraries are linked to
                    "onnxruntime_qnn/Qualcomm_LICENSE.pdf": "licence",
                    "onnxruntime_qnn/LICENSE": "licence",
                    "onnxruntime_qnn/ThirdPartyNotices.txt": "licence",
                },
            ),
        ),
        required=tuple(f"{_FOLDER}/{name}" for name in libraries),
        marker=(f"{_FOLDER}/libQnnHtp.so", f"v{build}".encode()),
        variables={"QNN_SDK_ROOT": "{root}", "LD_LIBRARY_PATH": f"{{root}}/{_FOLDER}"},
    )


@sdk
def qnn_2_49() -> Sdk:
    """Describe the version for ExecuTorch 1.5.1."""
    return _qnn(
        "2.49", "2.49.", "2.5.0", "6a6a8db1e36584b4ac2e5ba356f4943b1916303b7f1fd44e27f4ca056f145dfe", _LIBRARIES
    )


@sdk
def qnn_2_50() -> Sdk:
    """Describe the version for LiteRT 2.3's compiler plugin and ONNX Runtime, whose provider must lie beside it."""
    return _qnn(
        "2.50",
        "2.50.",
        "2.6.0",
        "33d8f910031b22b08792d706121caee5b4094b3262c0b31e1c2dab8124268897",
        (*_LIBRARIES, _PROVIDER),
    )
