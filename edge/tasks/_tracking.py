"""Follow one person from picture to picture: the detector runs only while nobody is followed.

After Bazarevsky et al., "BlazePose", 2020 (arXiv:2006.10204), section 2.
"""

from __future__ import annotations

from edge.tasks import Region
from edge.tasks._landmarks import Pose


class RegionTracker:
    """Keep where the landmark model looks next; None asks the detector.

    A pose with a person gives the next picture's region by its own landmarks; without one the person is lost.
    """

    def __init__(self) -> None:
        self.region: Region | None = None

    def begin(self, found: Region | None) -> None:
        """Begin with what the detector found; None where it found nobody."""
        self.region = found

    def follow(self, pose: Pose) -> Region | None:
        """Take the pose that was placed in the region and return where to look next."""
        self.region = pose.next_region if pose.found else None
        return self.region

    def reset(self) -> None:
        """Forget the person."""
        self.region = None
