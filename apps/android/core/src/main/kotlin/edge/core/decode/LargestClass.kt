package edge.core.decode

import edge.core.image.Affine
import edge.core.image.PlaneView
import edge.core.image.PlaneWarp
import kotlin.math.exp

private const val UNCLEAR = -1

/**
 * Choose the class whose probability is largest at every pixel of a picture, after its planes were resized.
 *
 * Between four cells whose largest class is the same, it is the largest of every mix of theirs too: the planes are
 * mixed only along the borders of classes.
 */
internal class LargestClass(private val planes: List<PlaneView>) {
    private val width = planes[0].width
    private val height = planes[0].height
    private val shares = FloatArray(planes.size * width * height)
    private val shared = BooleanArray(width * height) // whether a cell's shares are those of this picture
    private val top = FloatArray(width * height)
    private val best = IntArray(width * height) // each cell's class, UNCLEAR where the scores are not numbers
    private val sharePlanes = planes.indices.map { PlaneView(width, height, it, width * planes.size, planes.size) }
    private val warp = PlaneWarp()
    private var line = FloatArray(0)
    private var most = FloatArray(0)

    fun choose(logits: FloatArray, matrix: Affine, into: Segmentation) {
        setBest(logits)
        shared.fill(false)
        warp.set(matrix, width, height, into.width)
        if (matrix.isSeparable) {
            for (y in 0 until into.height) chooseRow(logits, y, into)
        } else {
            for (cell in best.indices) setShares(logits, cell)
            for (y in 0 until into.height) chooseTurnedRow(y, into)
        }
    }

    /** Find each cell's largest class, of equal ones the first, plane after plane as they lie in memory. */
    private fun setBest(logits: FloatArray) {
        best.fill(0)
        for (number in planes.indices) {
            val view = planes[number]
            for (y in 0 until height) {
                for (x in 0 until width) {
                    val value = logits[view.at(x, y)]
                    val cell = y * width + x
                    if (number == 0 || value > top[cell]) best[cell] = number
                    top[cell] = if (number == 0) value else Math.max(top[cell], value) // not a number stays so
                }
            }
        }
        for (cell in best.indices) if (!top[cell].isFinite()) best[cell] = UNCLEAR
    }

    /** Turn a cell's scores into probabilities, once a picture. */
    private fun setShares(logits: FloatArray, cell: Int) {
        if (shared[cell]) return
        shared[cell] = true
        val at = cell * planes.size
        val y = cell / width
        val x = cell % width
        var sum = 0f
        for (number in planes.indices) {
            val view = planes[number]
            val power = exp(logits[view.at(x, y)] - top[cell])
            shares[at + number] = power
            sum += power
        }
        for (number in planes.indices) shares[at + number] /= sum
    }

    private fun chooseRow(logits: FloatArray, y: Int, into: Segmentation) {
        val upper = warp.upperRow(y) * width
        val lower = warp.lowerRow(y) * width
        val share = warp.rowWeight(y)
        val at = y * into.width
        for (x in 0 until into.width) {
            val left = warp.left[x]
            val right = warp.right[x]
            val one = best[upper + left]
            val same = one == best[upper + right] && one == best[lower + left] && one == best[lower + right]
            into.classes[at + x] = if (same && one != UNCLEAR) {
                one.toByte()
            } else {
                setShares(logits, upper + left)
                setShares(logits, upper + right)
                setShares(logits, lower + left)
                setShares(logits, lower + right)
                mixed(upper, lower, left, right, share, warp.weight[x]).toByte()
            }
        }
    }

    private fun mixed(upper: Int, lower: Int, left: Int, right: Int, shareY: Float, shareX: Float): Int {
        val count = planes.size
        val restY = 1 - shareY
        var found = 0
        var top = 0f
        for (number in 0 until count) {
            val a = shares[(upper + left) * count + number] * restY + shares[(lower + left) * count + number] * shareY
            val b = shares[(upper + right) * count + number] * restY + shares[(lower + right) * count + number] * shareY
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
            warp.row(shares, sharePlanes[number], y, line, 0, 0, into.width)
            for (x in 0 until into.width) {
                if (number == 0 || line[x] > most[x]) into.classes[at + x] = number.toByte()
                most[x] = if (number == 0) line[x] else Math.max(most[x], line[x])
            }
        }
    }
}
