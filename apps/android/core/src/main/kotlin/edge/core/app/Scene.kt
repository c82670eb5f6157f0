package edge.core.app

import edge.core.decode.Pose

/**
 * What a pipeline saw in one upright picture, to be drawn over it; its memory is used again for the next picture.
 *
 * `layer` (height · width) is ARGB, not premultiplied, and there only if `hasLayer`.
 */
class Scene {
    var width = 0
        private set
    var height = 0
        private set
    val pose = Pose()
    var layer = IntArray(0)
        private set
    var hasLayer = false
        private set

    /** Begin another picture of `width` × `height` pixels, with nobody and nothing in it. */
    fun begin(width: Int, height: Int) {
        this.width = width
        this.height = height
        hasLayer = false
        pose.clear()
    }

    /** Return the layer's memory for this picture; everything of it has to be written. */
    fun makeLayer(): IntArray {
        if (layer.size != width * height) layer = IntArray(width * height)
        hasLayer = true
        return layer
    }
}

/** Copy what an overlay draws of a pose: its score, points and visibility. */
fun Pose.copyTo(other: Pose) {
    other.score = score
    points.copyInto(other.points)
    visibility.copyInto(other.visibility)
}
