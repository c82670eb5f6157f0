"""The SDKs that LiteRT's compiler plugins load for MediaTek and Google Tensor chips: only their makers hand
them out, also to the packages ai-edge-litert-sdk-*, which download them while they are installed.
"""

from __future__ import annotations

from edge.sdk import Sdk, sdk


@sdk
def mediatek_neuropilot() -> Sdk:
    """Describe the folder of NeuroPilot's host libraries (x86-64), of version 8, or 9 for MT6993."""
    return Sdk(
        name="mediatek-neuropilot",
        group="mediatek-neuropilot",
        title="MediaTek NeuroPilot SDK",
        vendor="MediaTek",
        version="8",
        licence="MediaTek's own licence, accepted when downloading",
        obtain="the folder of the host libraries that `pip install ai-edge-litert-sdk-mediatek` downloads",
        required=("libneuron_adapter.so",),
        variables={"LD_LIBRARY_PATH": "{root}"},
    )


@sdk
def google_tensor() -> Sdk:
    """Describe the folder of Google Tensor's compiler library."""
    return Sdk(
        name="google-tensor-sdk",
        group="google-tensor-sdk",
        title="Google Tensor SDK",
        vendor="Google",
        version="1",
        licence="Google's own licence, accepted when downloading",
        obtain="the folder of the library that `pip install ai-edge-litert-sdk-google-tensor` downloads",
        required=("liblitert_plugin_compiler.so",),
        variables={"LD_LIBRARY_PATH": "{root}"},
    )
