package edge.core.image

import kotlin.math.cos
import kotlin.math.max
import kotlin.math.sin

/** A rotated square in a picture: centre and side in pixels, rotation in radians, clockwise from upright. */
data class Region(val centreX: Double, val centreY: Double, val side: Double, val rotation: Double = 0.0)

/**
 * Map points: x' = xx · x + xy · y + x0, y' = yx · x + yy · y + y0.
 *
 * It is changed in place, for nothing is allocated while frames run.
 */
class Affine {
    var xx = 1.0
        private set
    var xy = 0.0
        private set
    var x0 = 0.0
        private set
    var yx = 0.0
        private set
    var yy = 1.0
        private set
    var y0 = 0.0
        private set

    /** Whether each axis is mapped on its own. */
    val isSeparable: Boolean get() = xy == 0.0 && yx == 0.0

    /** Take the six numbers of a (2, 3) matrix, row after row. */
    fun set(xx: Double, xy: Double, x0: Double, yx: Double, yy: Double, y0: Double): Affine {
        this.xx = xx
        this.xy = xy
        this.x0 = x0
        this.yx = yx
        this.yy = yy
        this.y0 = y0
        return this
    }

    fun set(other: Affine): Affine = set(other.xx, other.xy, other.x0, other.yx, other.yy, other.y0)

    /** Become the opposite map of another. */
    fun setInverse(other: Affine): Affine {
        if (other.isSeparable) {
            // One division an axis, as the reference rounds it: where the nearest value changes, the last bit counts.
            val x = 1.0 / other.xx
            val y = 1.0 / other.yy
            return set(x, 0.0, -x * other.x0, 0.0, y, -y * other.y0)
        }
        val scale = 1.0 / (other.xx * other.yy - other.xy * other.yx)
        val xx = other.yy * scale
        val xy = -other.xy * scale
        val yx = -other.yx * scale
        val yy = other.xx * scale
        return set(xx, xy, -(xx * other.x0 + xy * other.y0), yx, yy, -(yx * other.x0 + yy * other.y0))
    }

    /** Multiply what the map returns: x' by `x`, y' by `y`. */
    fun scale(x: Double, y: Double): Affine = set(xx * x, xy * x, x0 * x, yx * y, yy * y, y0 * y)

    /** Add to what the map returns. */
    fun shift(x: Double, y: Double): Affine = set(xx, xy, x0 + x, yx, yy, y0 + y)

    fun mapX(x: Double, y: Double): Double = xx * x + xy * y + x0

    fun mapY(x: Double, y: Double): Double = yx * x + yy * y + y0
}

/**
 * Tie an input tensor's pixels to the picture's: `matrix` maps tensor pixel centres to picture pixel centres.
 *
 * Made once and filled for every picture; `region` is what was cut out, or null for the whole picture.
 */
class Frame {
    var imageWidth = 0
        private set
    var imageHeight = 0
        private set
    var tensorWidth = 0
        private set
    var tensorHeight = 0
        private set
    val matrix = Affine()
    var region: Region? = null
        private set

    internal fun setSizes(imageWidth: Int, imageHeight: Int, tensorWidth: Int, tensorHeight: Int, region: Region?) {
        this.imageWidth = imageWidth
        this.imageHeight = imageHeight
        this.tensorWidth = tensorWidth
        this.tensorHeight = tensorHeight
        this.region = region
    }

    /** Scale each axis on its own, so that the whole picture fills the tensor. */
    fun setStretch(imageWidth: Int, imageHeight: Int, tensorWidth: Int, tensorHeight: Int): Frame {
        setSizes(imageWidth, imageHeight, tensorWidth, tensorHeight, null)
        matrix.set(imageWidth.toDouble() / tensorWidth, 0.0, 0.0, 0.0, imageHeight.toDouble() / tensorHeight, 0.0)
        return this
    }

    /** Put the whole picture into the tensor's middle, with one scale on both axes. */
    fun setLetterbox(imageWidth: Int, imageHeight: Int, tensorWidth: Int, tensorHeight: Int): Frame {
        setSizes(imageWidth, imageHeight, tensorWidth, tensorHeight, null)
        val scale = wholeScale()
        val shiftX = (imageWidth - scale * tensorWidth) / 2
        val shiftY = (imageHeight - scale * tensorHeight) / 2
        matrix.set(scale, 0.0, shiftX, 0.0, scale, shiftY)
        return this
    }

    /** Put the whole picture at the tensor's upper left, with one scale on both axes. */
    fun setCorner(imageWidth: Int, imageHeight: Int, tensorWidth: Int, tensorHeight: Int): Frame {
        setSizes(imageWidth, imageHeight, tensorWidth, tensorHeight, null)
        val scale = wholeScale()
        matrix.set(scale, 0.0, 0.0, 0.0, scale, 0.0)
        return this
    }

    /** Let the region's square fill the tensor. */
    fun setRegion(imageWidth: Int, imageHeight: Int, tensorWidth: Int, tensorHeight: Int, region: Region): Frame {
        setSizes(imageWidth, imageHeight, tensorWidth, tensorHeight, region)
        val cos = cos(region.rotation)
        val sin = sin(region.rotation)
        val side = region.side
        val scaleX = side / tensorWidth
        val scaleY = side / tensorHeight
        matrix.set(
            cos * scaleX, -sin * scaleY, region.centreX - (cos * side - sin * side) / 2,
            sin * scaleX, cos * scaleY, region.centreY - (sin * side + cos * side) / 2,
        )
        return this
    }

    private fun wholeScale() = max(imageHeight.toDouble() / tensorHeight, imageWidth.toDouble() / tensorWidth)
}
