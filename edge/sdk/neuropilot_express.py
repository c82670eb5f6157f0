"""MediaTek's NeuroPilot Express SDK for ExecuTorch: two Python packages that only MediaTek hands out."""

from __future__ import annotations

from edge.sdk import Sdk, sdk


@sdk
def neuropilot_express() -> Sdk:
    """Describe a folder that the SDK's two wheels were unpacked into, as by `pip install --no-deps --target`."""
    return Sdk(
        name="mediatek-neuropilot-executorch",
        group="mediatek-neuropilot-executorch",
        title="MediaTek NeuroPilot Express SDK",
        vendor="MediaTek",
        version="8",
        licence="MediaTek's own licence, accepted when downloading",
        obtain="pip install --no-deps --target DIR with the mtk_converter and mtk_neuron wheels of "
        "https://neuropilot.mediatek.com/resources/public/npexpress/en/docs/npexpress",
        required=("mtk_converter", "mtk_neuron"),
        variables={"PYTHONPATH": "{root}"},
    )
