package edge.core.smoothing

import edge.core.decode.Pose
import edge.core.image.Region

/**
 * Follow one person: where the landmark model looks next, or null while the detector has to find somebody.
 *
 * A pose with a person gives the next picture's region by its own landmarks; without one the person is lost.
 */
class RegionTracker {
    /** Where to look in the next picture; null asks the detector. */
    var region: Region? = null
        private set

    /** Begin with what the detector found; null where it found nobody. */
    fun begin(found: Region?) {
        region = found
    }

    /** Take the pose that was placed in the region and return where to look next. */
    fun follow(pose: Pose): Region? {
        region = if (pose.found) pose.nextRegion else null
        return region
    }

    /** Forget the person. */
    fun reset() {
        region = null
    }
}
