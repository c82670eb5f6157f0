"""Arm's Ethos-U tools: Vela, which compiles for the NPU, and TOSA's serializer and reference model.

The wheel of tosa-tools asks for versions of numpy, flatbuffers and ml_dtypes that onnx and mediapipe refuse, and it
puts packages named `tests` and `generator` on the path: only the two packages that the Arm backend imports are
unpacked, into a folder that just the children which need them see. They run with the environment's own versions.
"""

from __future__ import annotations

from edge.sdk import Sdk, Wheel, sdk


@sdk
def ethos_u() -> Sdk:
    """Describe the versions that ExecuTorch 1.5.1's Arm backend works with."""
    return Sdk(
        name="ethos-u",
        group="ethos-u",
        title="Arm Ethos-U tools",
        vendor="Arm",
        version="5.2.0",
        licence="Apache-2.0",
        licence_file="site/ethos_u_vela-5.2.0.dist-info/licenses/LICENSE.txt",
        wheels=(
            Wheel(
                package="ethos-u-vela",
                version="5.2.0",
                sha256="a12db89e014ad0d19f1a5156ec1ba45e0d0f30d3428f4ca8abea88e3d64a0ad2",
                members={
                    "ethosu/": "site/ethosu",
                    "ethos_u_vela-5.2.0.dist-info/": "site/ethos_u_vela-5.2.0.dist-info",
                },
            ),
            Wheel(
                package="tosa-tools",
                version="2026.8.0",
                sha256="0d87640eb3d6eb9b6b24362837e00203a8f1b4d8b1e49076b8b093d393e985bf",
                members={
                    "tosa_serializer/": "site/tosa_serializer",
                    "tosa_reference_model/": "site/tosa_reference_model",
                    "notice.txt": "licence",
                },
            ),
        ),
        required=(
            "site/ethosu/vela/vela.py",
            "site/tosa_serializer/__init__.py",
            "site/tosa_reference_model/__init__.py",
        ),
        variables={"PYTHONPATH": "{root}/site"},
    )
