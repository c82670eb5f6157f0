"""The numbers that COCO itself gives to the 133 classes of its panoptic task: 1 to 200, with gaps.

Source: panoptic_coco_categories.json of cocodataset/panopticapi.
"""

from __future__ import annotations

from edge.zoo._coco import STUFF, THINGS

FIRST_STUFF = 91  # things have lower numbers
_NO_THINGS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # of 1 to 90
_STUFF_IDS = (
    92, 93, 95, 100, 107, 109, 112, 118, 119, 122, 125, 128, 130, 133, 138, 141, 144, 145, 147, 148, 149, 151, 154, 155,
    156, 159, 161, 166, 168, 171, 175, 176, 177, 178, 180, 181, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194,
    195, 196, 197, 198, 199, 200,
)  # fmt: skip
NAMES = {
    **dict(zip((i for i in range(1, FIRST_STUFF) if i not in _NO_THINGS), THINGS, strict=True)),
    **dict(zip(_STUFF_IDS, STUFF, strict=True)),
}
# By number; 0 is nothing, and numbers without a class say so.
LABELS = ("background", *(NAMES.get(number, f"unused {number}") for number in range(1, max(NAMES) + 1)))
