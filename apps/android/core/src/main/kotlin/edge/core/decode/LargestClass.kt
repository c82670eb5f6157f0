package edge.core.decode

import edge.core.image.Affine
import edge.core.image.PlaneView
import edge.core.image.PlaneWarp
import kotlin.math.exp

private const val UNCLEAR = -1

/**
 * Choose the class whose probability is largest at every pixel of a picture, after its planes were resized.
 *
 * Between four cells whose largest class is the same, it is the largest of every mix of theirs too: the planes are mixed only
 * along the borders of classes.
 */
internal class LargestClass(private val planes: List<PlaneView>) {
    private val width = planes[0].width
    private val height = planes[0].height
    private val shares = FloatArray(planes.size * width * height)
    private val best = IntArray(width * height) // each cell's class, UNCLEAR where the scores are not numbers
    private val sharePlanes = planes.indices.map { PlaneView(width, height, it, width * planes.size, planes.size) }
    private val warp = PlaneWarp()
    private var line = FloatArray(0)
    private var most = FloatArray(0)

    fun choose(logits: FloatArray, matrix: Affine, into: Segmentation) {
        for (y in 0 until height) for (x in 0 until width) softmax(logits, x, y)
        warp.set(matrix, width, height, into.width)
        if (matrix.isSeparable) {
            for (y in 0 until into.height) chooseRow(y, into)
        } else {
            for (y in 0 until into.height) chooseTurnedRow(y, into)
        }
    }

    private fun softmax(logits: FloatArray, x: Int, y: Int) {
        val cell = y * width + x
        val at = cell * planes.size
        var top = Float.NEGATIVE_INFINITY
        for (view in planes) top = Math.max(top, logits[view.offset + y * view.rowStep + x * view.columnStep])
        var sum = 0f
        for (number in planes.indices) {
            val view = planes[number]
            val power = exp(logits[view.offset + y * view.rowStep + x * view.columnStep] - top)
            shares[at + number] = power
            sum += power
        }
        var largest = 0
        for (number in planes.indices) {
            shares[at + number] /= sum
            if (shares[at + number] > shares[at + largest]) largest = number
        }
        best[cell] = if (sum.isNaN()) UNCLEAR else largest
    }

    private fun chooseRow(y: Int, into: Segmentation) {
        val upper = warp.upperRow(y) * width
        val lower = warp.lowerRow(y) * width
        val share = warp.rowWeight(y)
        val at = y * into.width
        for (x in 0 until into.width) {
            val left = warp.left[x]
            val right = warp.right[x]
            val one = best[upper + left]
            val agree = one != UNCLEAR && one == best[upper + right] && one == best[lower + left] && one == best[lower + right]
            into.classes[at + x] = (if (agree) one else mixed(upper, lower, left, right, share, warp.weight[x])).toByte()
        }
    }

    private fun mixed(upper: Int, lower: Int, left: Int, right: Int, shareY: Float, shareX: Float): Int {
        val count = planes.size
        var found = 0
        var top = 0f
        for (number in 0 until count) {
            val a = shares[(upper + left) * count + number] * (1 - shareY) + shares[(lower + left) * count + number] * shareY
            val b = shares[(upper + right) * count + number] * (1 - shareY) + shares[(lower + right) * count + number] * shareY
            val value = a * (1 - shareX) + b * shareX
            if (number == 0) {
                top = value
            } else {
                if (value > top) found = number
                top = Math.max(top, value) // not a number stays so
            }
        }
        return found
    }

    private fun chooseTurnedRow(y: Int, into: Segmentation) {
        if (line.size < into.width) {
            line = FloatArray(into.width)
            most = FloatArray(into.width)
        }
        val at = y * into.width
        for (number in planes.indices) {
            warp.row(shares, sharePlanes[number], y, line, 0, into.width)
            for (x in 0 until into.width) {
                if (number == 0 || line[x] > most[x]) into.classes[at + x] = number.toByte()
                most[x] = if (number == 0) line[x] else Math.max(most[x], line[x])
            }
        }
    }
}
