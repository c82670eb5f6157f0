package edge.core.image

/**
 * Sample a source bilinearly into `into` (height, width, 3): output pixel (x, y) takes the input at matrix · (x, y, 1).
 *
 * Positions are rounded to 1/32 pixel and results to 8 bits, all in integers: the same bytes as edge.images.warp.
 * `border` is the value outside the source; REPEAT repeats its edge.
 */
internal class Warp(private val width: Int, private val height: Int) {
    // Of one output row: the upper left neighbour and the weights (of 32) of the right and the lower ones.
    private val left = IntArray(width)
    private val top = IntArray(width)
    private val weightX = IntArray(width)
    private val weightY = IntArray(width)

    fun run(source: Source, matrix: Affine, border: Int, into: ByteArray) {
        for (y in 0 until height) {
            setPositions(matrix, y, source.width, source.height)
            when (source) {
                is Picture -> rgbRow(source, border, into, y * width * CHANNELS)
                is YuvFrame -> yuvRow(source, border, into, y * width * CHANNELS)
            }
        }
    }

    private fun setPositions(matrix: Affine, y: Int, sourceWidth: Int, sourceHeight: Int) {
        val yOfX = matrix.xy * y
        val yOfY = matrix.yy * y
        for (x in 0 until width) {
            val fixedX = fixedPoint(matrix.xx * x + yOfX + matrix.x0, sourceWidth)
            val fixedY = fixedPoint(matrix.yx * x + yOfY + matrix.y0, sourceHeight)
            left[x] = fixedX shr BITS
            top[x] = fixedY shr BITS
            weightX[x] = fixedX and (ONE - 1)
            weightY[x] = fixedY and (ONE - 1)
        }
    }

    private fun rgbRow(source: Picture, border: Int, into: ByteArray, begin: Int) {
        val rgb = source.rgb
        val lastX = source.width - 1
        val lastY = source.height - 1
        val rowBytes = source.width * CHANNELS
        var at = begin
        for (x in 0 until width) {
            val x0 = left[x]
            val y0 = top[x]
            val inside = x0 >= 0 && y0 >= 0 && x0 < lastX && y0 < lastY
            if (!inside && border != REPEAT) {
                edgePixel(x, lastX, lastY, border, into, at) { column, row ->
                    rgbAt(rgb, row * rowBytes + column * CHANNELS)
                }
            } else {
                val columnA = clamp(x0, lastX) * CHANNELS
                val columnB = clamp(x0 + 1, lastX) * CHANNELS
                val rowA = clamp(y0, lastY) * rowBytes
                val rowB = clamp(y0 + 1, lastY) * rowBytes
                val wx = weightX[x]
                val wy = weightY[x]
                val d = wx * wy
                val c = (wy shl BITS) - d
                val b = (wx shl BITS) - d
                val a = (ONE * ONE) - b - c - d
                for (channel in 0 until CHANNELS) {
                    val sum = a * (rgb[rowA + columnA + channel].toInt() and BYTE) +
                        b * (rgb[rowA + columnB + channel].toInt() and BYTE) +
                        c * (rgb[rowB + columnA + channel].toInt() and BYTE) +
                        d * (rgb[rowB + columnB + channel].toInt() and BYTE)
                    into[at + channel] = (sum + HALF shr 2 * BITS).toByte()
                }
            }
            at += CHANNELS
        }
    }

    private fun yuvRow(source: YuvFrame, border: Int, into: ByteArray, begin: Int) {
        val luma = source.luma.bytes
        val blue = source.blue.bytes
        val red = source.red.bytes
        val (lumaRow, lumaPixel) = source.luma.layout
        val (blueRow, bluePixel) = source.blue.layout
        val (redRow, redPixel) = source.red.layout
        val lastX = source.width - 1
        val lastY = source.height - 1
        var at = begin
        for (x in 0 until width) {
            val x0 = left[x]
            val y0 = top[x]
            val inside = x0 >= 0 && y0 >= 0 && x0 < lastX && y0 < lastY
            if (!inside && border != REPEAT) {
                edgePixel(x, lastX, lastY, border, into, at) { column, row ->
                    rgbOfYuv(
                        luma[row * lumaRow + column * lumaPixel].toInt() and BYTE,
                        blue[(row shr 1) * blueRow + (column shr 1) * bluePixel].toInt() and BYTE,
                        red[(row shr 1) * redRow + (column shr 1) * redPixel].toInt() and BYTE,
                    )
                }
            } else {
                val columnA = clamp(x0, lastX)
                val columnB = clamp(x0 + 1, lastX)
                val rowA = clamp(y0, lastY)
                val rowB = clamp(y0 + 1, lastY)
                val wx = weightX[x]
                val wy = weightY[x]
                val d = wx * wy
                val c = (wy shl BITS) - d
                val b = (wx shl BITS) - d
                val a = (ONE * ONE) - b - c - d
                val lumaA = columnA * lumaPixel
                val lumaB = columnB * lumaPixel
                val blueA = (columnA shr 1) * bluePixel
                val blueB = (columnB shr 1) * bluePixel
                val redA = (columnA shr 1) * redPixel
                val redB = (columnB shr 1) * redPixel
                val blueRowA = (rowA shr 1) * blueRow
                val blueRowB = (rowB shr 1) * blueRow
                val redRowA = (rowA shr 1) * redRow
                val redRowB = (rowB shr 1) * redRow
                val sum = LANES_HALF +
                    a * lanes(luma[rowA * lumaRow + lumaA], blue[blueRowA + blueA], red[redRowA + redA]) +
                    b * lanes(luma[rowA * lumaRow + lumaB], blue[blueRowA + blueB], red[redRowA + redB]) +
                    c * lanes(luma[rowB * lumaRow + lumaA], blue[blueRowB + blueA], red[redRowB + redA]) +
                    d * lanes(luma[rowB * lumaRow + lumaB], blue[blueRowB + blueB], red[redRowB + redB])
                into[at] = (sum shr 2 * LANE_BITS + 2 * BITS).toByte()
                into[at + 1] = (sum shr LANE_BITS + 2 * BITS).toByte()
                into[at + 2] = (sum shr 2 * BITS).toByte()
            }
            at += CHANNELS
        }
    }

    /** Mix four neighbours, each read by `pixel` as 0xRRGGBB at a column and row inside the source. */
    private inline fun edgePixel(
        x: Int,
        lastX: Int,
        lastY: Int,
        border: Int,
        into: ByteArray,
        at: Int,
        pixel: (Int, Int) -> Int,
    ) {
        val outside = border * GREY
        var reds = HALF
        var greens = HALF
        var blues = HALF
        for (corner in 0 until 4) {
            val column = left[x] + (corner and 1)
            val row = top[x] + (corner shr 1)
            val wx = if (corner and 1 == 1) weightX[x] else ONE - weightX[x]
            val wy = if (corner shr 1 == 1) weightY[x] else ONE - weightY[x]
            val weight = wx * wy
            val covered = border == REPEAT || (column in 0..lastX && row in 0..lastY)
            val rgb = if (covered) pixel(clamp(column, lastX), clamp(row, lastY)) else outside
            reds += weight * (rgb shr 16)
            greens += weight * (rgb shr 8 and BYTE)
            blues += weight * (rgb and BYTE)
        }
        into[at] = (reds shr 2 * BITS).toByte()
        into[at + 1] = (greens shr 2 * BITS).toByte()
        into[at + 2] = (blues shr 2 * BITS).toByte()
    }

    companion object {
        /** The border of a source whose edge is repeated outside it. */
        const val REPEAT = -1
        private const val GREY = 0x010101
    }
}

internal const val BYTE = 0xff
private const val BITS = 5
private const val ONE = 1 shl BITS // a position is held in units of 1/32 pixel
private const val HALF = ONE * ONE / 2 // rounds to nearest

/** Round to 1/32 pixel, half to even; what lies far outside is brought just outside, so that it fits the integers. */
private fun fixedPoint(position: Double, size: Int): Int {
    // Comparisons are several times as fast as Math.min and Math.max of doubles.
    val most = size + 1.0
    val near = if (position > -2.0) (if (position < most) position else most) else -2.0
    return Math.rint(near * ONE).toInt()
}

private fun clamp(value: Int, last: Int): Int = Math.min(Math.max(value, 0), last)

private const val LANE_BITS = 20 // a sum of four weighted bytes takes 18
private const val LANES_HALF = (HALF.toLong() shl 2 * LANE_BITS) + (HALF.toLong() shl LANE_BITS) + HALF

/** Return red, green and blue in lanes of a long, so that one product weighs all three. */
private fun lanes(luma: Byte, blue: Byte, red: Byte): Long {
    val rgb = rgbOfYuv(luma.toInt() and BYTE, blue.toInt() and BYTE, red.toInt() and BYTE)
    val upper = ((rgb shr 16).toLong() shl 2 * LANE_BITS) or ((rgb shr 8 and BYTE).toLong() shl LANE_BITS)
    return upper or (rgb and BYTE).toLong()
}

private fun rgbAt(rgb: ByteArray, at: Int): Int =
    (rgb[at].toInt() and BYTE shl 16) or (rgb[at + 1].toInt() and BYTE shl 8) or (rgb[at + 2].toInt() and BYTE)

/**
 * Return 0xRRGGBB of a camera's luma and chroma in 0…255: BT.601 over the full range, as JFIF has it, in 1/65536.
 *
 * Source: JPEG File Interchange Format 1.02 (Hamilton 1992); the same integers as edge.yuv.
 */
fun rgbOfYuv(luma: Int, blue: Int, red: Int): Int {
    val cb = blue - 128
    val cr = red - 128
    val y = (luma shl 16) + 32768
    val r = clamp(y + 91881 * cr shr 16, BYTE)
    val g = clamp(y - 22554 * cb - 46802 * cr shr 16, BYTE)
    val b = clamp(y + 116130 * cb shr 16, BYTE)
    return (r shl 16) or (g shl 8) or b
}
