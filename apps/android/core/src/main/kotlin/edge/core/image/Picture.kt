package edge.core.image

import java.nio.ByteBuffer

/** What can be sampled as RGB: a picture in memory or a camera's frame. */
sealed interface Source {
    val width: Int
    val height: Int
}

/** Hold a picture of 8 bits: `rgb` has height · width · 3 bytes, rows from the top, red first. */
class Picture(override val width: Int, override val height: Int, val rgb: ByteArray) : Source {
    init {
        checkSize(width, height)
        require(rgb.size == width * height * CHANNELS) {
            "a picture of $width × $height has ${width * height * CHANNELS} bytes of RGB; ${rgb.size} were given"
        }
    }
}

/** Lay out a plane: bytes from one row to the next, and from one value to the next in a row. */
data class PlaneLayout(val rowStride: Int, val pixelStride: Int)

/**
 * Hold one camera frame as Android's YUV_420_888: a plane of luma, and two of chroma with half of each side, rounded
 * up.
 *
 * The planes' memory is made once and filled by `fill`; it grows only when a frame needs more.
 */
class YuvFrame : Source {
    override var width = 0
        private set
    override var height = 0
        private set
    var luma = Plane()
        private set
    var blue = Plane()
        private set
    var red = Plane()
        private set

    /** One plane's bytes; value (x, y) stands at y · rowStride + x · pixelStride. */
    class Plane {
        var bytes = ByteArray(0)
            private set
        var layout = PlaneLayout(0, 1)
            private set

        internal fun fill(source: ByteBuffer, layout: PlaneLayout, width: Int, height: Int, name: String) {
            val (row, pixel) = layout
            require(pixel >= 1 && row >= (width - 1) * pixel + 1) {
                "the $name plane's rows of $width values do not fit a row stride of $row at a pixel stride of $pixel"
            }
            // A camera leaves out what follows the last value of the last row.
            val needed = (height - 1L) * row + (width - 1L) * pixel + 1
            require(source.remaining() >= needed) {
                "the $name plane has ${source.remaining()} bytes; $width × $height values at strides $row and $pixel " +
                    "take $needed"
            }
            if (bytes.size < needed) bytes = ByteArray(needed.toInt())
            val at = source.position()
            source.get(bytes, 0, needed.toInt())
            source.position(at)
            this.layout = layout
        }
    }

    /** Copy a frame's planes in, from the buffers' positions on; the buffers are left as they were. */
    fun fill(
        width: Int,
        height: Int,
        y: ByteBuffer,
        u: ByteBuffer,
        v: ByteBuffer,
        yLayout: PlaneLayout,
        uvLayout: PlaneLayout,
    ) {
        checkSize(width, height)
        val halfWidth = (width + 1) / 2
        val halfHeight = (height + 1) / 2
        luma.fill(y, yLayout, width, height, "Y")
        blue.fill(u, uvLayout, halfWidth, halfHeight, "U")
        red.fill(v, uvLayout, halfWidth, halfHeight, "V")
        this.width = width
        this.height = height
    }
}

internal const val CHANNELS = 3
private const val MOST_PIXELS = 25_000_000

private fun checkSize(width: Int, height: Int) {
    require(width > 0 && height > 0 && width.toLong() * height <= MOST_PIXELS) {
        "a picture of $width × $height; its sides have to be positive and its pixels at most $MOST_PIXELS"
    }
}
