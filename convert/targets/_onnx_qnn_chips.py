"""The phone chips of Qualcomm that QNN compiles for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chip:
    """Give QNN's number of a chip, the version of its Hexagon architecture, and whether its NPU computes in float16."""

    soc_model: int
    htp_arch: int
    half: bool = True


# The numbers are those of QNN's public header QnnTypes.h (Qnn_SocModel_t) and of QAIRT's table of supported devices;
# ExecuTorch 1.5.1's qc_schema.py has the same for the chips that it knows. Architecture and float16 were then read off
# the compiler of QNN 2.50 itself: every number was compiled for alone, the context binary names the chip and its
# architecture, and the compiler refuses float16 operators for the chips without. (A number without an NPU compiles
# too, for a made-up device: those are not here.) The first stands for the family.
CHIPS: Mapping[str, Chip] = {
    "SM8650": Chip(57, 75),  # Snapdragon 8 Gen 3
    "SM8350": Chip(30, 68, half=False),  # 888
    "SM8450": Chip(36, 69),  # 8 Gen 1
    "SM8475": Chip(42, 69),  # 8+ Gen 1
    "SM8550": Chip(43, 73),  # 8 Gen 2
    "SM8635": Chip(68, 73, half=False),  # 8s Gen 3
    "SM8735": Chip(85, 73, half=False),  # 8s Gen 4
    "SM8750": Chip(69, 79),  # 8 Elite
    "SM8845": Chip(97, 81),  # 8 Gen 5
    "SM8850": Chip(87, 81),  # 8 Elite Gen 5
    "SM7325": Chip(35, 68, half=False),  # 778G
    "SM7350": Chip(32, 68, half=False),  # 780G
    "SM7435": Chip(61, 73, half=False),  # 7s Gen 2
    "SM7450": Chip(41, 69),  # 7 Gen 1
    "SM7475": Chip(54, 69, half=False),  # 7+ Gen 2
    "SM7550": Chip(64, 73, half=False),  # 7 Gen 3
    "SM7635": Chip(73, 73, half=False),  # 7s Gen 3
    "SM7675": Chip(70, 73, half=False),  # 7+ Gen 3
    "SM7750": Chip(86, 73, half=False),  # 7 Gen 4
    "SM6450": Chip(50, 73, half=False),  # 6 Gen 1
    "SM6475": Chip(76, 73, half=False),  # 6 Gen 3
    "SM6650": Chip(74, 73, half=False),  # 6 Gen 4
}
