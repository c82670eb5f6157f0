package edge.core.app

/** What an overlay is drawn with: Android's canvas in the app, a picture in memory in tests. Colours are ARGB. */
interface Pen {
    /** Draw a line with round ends; coordinates and width in pixels of the surface. */
    fun line(x0: Float, y0: Float, x1: Float, y1: Float, width: Float, argb: Int)

    fun disc(x: Float, y: Float, radius: Float, argb: Int)
}

/**
 * Map a picture's pixels to a surface: the picture is scaled by `scale` and its upper left corner lies at (left, top).
 *
 * `mirrored` turns left and right about within the picture's `width`, as front cameras are shown.
 */
data class Placement(val scale: Float, val left: Float, val top: Float, val width: Int, val mirrored: Boolean = false) {
    fun x(x: Double): Float = left + (if (mirrored) width - x else x).toFloat() * scale

    fun y(y: Double): Float = top + y.toFloat() * scale
}

/** Return where a whole picture is shown on a surface: as large as fits, in the middle; all sizes in pixels. */
fun fitted(width: Int, height: Int, surfaceWidth: Int, surfaceHeight: Int, mirrored: Boolean = false): Placement {
    require(width > 0 && height > 0) { "a picture of $width × $height has no place on a surface" }
    val scale = minOf(surfaceWidth.toFloat() / width, surfaceHeight.toFloat() / height)
    return Placement(
        scale,
        (surfaceWidth - width * scale) / 2,
        (surfaceHeight - height * scale) / 2,
        width,
        mirrored,
    )
}
