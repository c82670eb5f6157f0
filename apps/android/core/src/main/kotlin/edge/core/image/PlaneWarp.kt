package edge.core.image

import kotlin.math.floor

/** Tell where a plane's values stand in a tensor's: value (x, y) at offset + y · rowStep + x · columnStep. */
data class PlaneView(val width: Int, val height: Int, val offset: Int, val rowStep: Int, val columnStep: Int) {
    /** Return the place of value (x, y). */
    fun at(x: Int, y: Int): Int = offset + y * rowStep + x * columnStep
}

/**
 * Sample planes of values bilinearly, in floats and with the edge repeated outside, row after row of the picture.
 *
 * One map serves many planes of one size: `set` takes it, `row` gives a picture's row of one plane. Its buffers grow to
 * the widest picture seen.
 */
class PlaneWarp {
    private val matrix = Affine()
    private var planeWidth = 0
    private var planeHeight = 0
    private var line = FloatArray(0)
    internal var left = IntArray(0)
        private set
    internal var right = IntArray(0)
        private set
    internal var weight = FloatArray(0)
        private set

    /** Take the map from picture pixels to those of planes of a size, for a picture `width` pixels wide. */
    fun set(map: Affine, planeWidth: Int, planeHeight: Int, width: Int) {
        matrix.set(map)
        this.planeWidth = planeWidth
        this.planeHeight = planeHeight
        if (left.size < width) {
            left = IntArray(width)
            right = IntArray(width)
            weight = FloatArray(width)
        }
        if (line.size < planeWidth) line = FloatArray(planeWidth)
        if (matrix.isSeparable) {
            for (x in 0 until width) {
                val inside = between(matrix.xx * x + matrix.x0, planeWidth)
                val low = floor(inside).toInt()
                left[x] = low
                right[x] = if (low + 1 < planeWidth) low + 1 else planeWidth - 1
                weight[x] = (inside - low).toFloat()
            }
        }
    }

    /** Write row `y` of the picture, values `begin` until `end` of a plane; value 0 of the row stands at `at`. */
    fun row(values: FloatArray, view: PlaneView, y: Int, into: FloatArray, at: Int, begin: Int, end: Int) {
        if (matrix.isSeparable) {
            setLine(values, view, y)
            separableRow(into, at, begin, end)
        } else {
            turnedRow(values, view, y, into, at, begin, end)
        }
    }

    /** Return the plane's row above a picture's row, and below it, and how much of the lower one is in it. */
    internal fun upperRow(y: Int): Int = floor(rowPosition(y)).toInt()

    internal fun lowerRow(y: Int): Int = upperRow(y).let { if (it + 1 < planeHeight) it + 1 else it }

    internal fun rowWeight(y: Int): Float = (rowPosition(y) - upperRow(y)).toFloat()

    private fun rowPosition(y: Int) = between(matrix.yy * y + matrix.y0, planeHeight)

    private fun setLine(values: FloatArray, view: PlaneView, y: Int) {
        val upper = view.offset + upperRow(y) * view.rowStep
        val lower = view.offset + lowerRow(y) * view.rowStep
        val share = rowWeight(y)
        val rest = 1 - share
        for (x in 0 until planeWidth) {
            val column = x * view.columnStep
            line[x] = values[upper + column] * rest + values[lower + column] * share
        }
    }

    private fun separableRow(into: FloatArray, at: Int, begin: Int, end: Int) {
        for (x in begin until end) {
            val share = weight[x]
            into[at + x] = line[left[x]] * (1 - share) + line[right[x]] * share
        }
    }

    private fun turnedRow(
        values: FloatArray,
        view: PlaneView,
        y: Int,
        into: FloatArray,
        at: Int,
        begin: Int,
        end: Int,
    ) {
        val xOfY = matrix.xy * y
        val yOfY = matrix.yy * y
        for (x in begin until end) {
            val inX = between(matrix.xx * x + xOfY + matrix.x0, planeWidth)
            val inY = between(matrix.yx * x + yOfY + matrix.y0, planeHeight)
            val x0 = inX.toInt()
            val y0 = inY.toInt()
            val shareX = (inX - x0).toFloat()
            val shareY = (inY - y0).toFloat()
            val columnA = x0 * view.columnStep
            val columnB = (if (x0 + 1 < planeWidth) x0 + 1 else x0) * view.columnStep
            val rowA = view.offset + y0 * view.rowStep
            val rowB = view.offset + (if (y0 + 1 < planeHeight) y0 + 1 else y0) * view.rowStep
            val upper = values[rowA + columnA] * (1 - shareX) + values[rowA + columnB] * shareX
            val lower = values[rowB + columnA] * (1 - shareX) + values[rowB + columnB] * shareX
            into[at + x] = upper * (1 - shareY) + lower * shareY
        }
    }

    // Comparisons are several times as fast as Math.min and Math.max of doubles.
    private fun between(position: Double, size: Int): Double {
        val last = size - 1.0
        return if (position > 0.0) (if (position < last) position else last) else 0.0
    }
}

/** Return the index of the value nearest to a position, within 0 until `size`. */
internal fun nearest(position: Double, size: Int): Int {
    val index = floor(position + 0.5)
    return if (index < 0) 0 else if (index > size - 1) size - 1 else index.toInt()
}
