package edge.core.decode

private const val OPAQUE = 255
private const val CHANNELS = 3

/** The colour of a mask with one class, 0xRRGGBB. */
const val FOREGROUND: Int = 0xff5286

/**
 * Return one colour 0xRRGGBB a class: PASCAL VOC's, whose colour bits are the class's bits interleaved.
 *
 * Class 0 is black: the background. Source: the VOC development kit's colour map.
 */
fun palette(classes: Int): IntArray = IntArray(classes) { index ->
    var value = index
    var colour = 0
    for (bit in 7 downTo 0) {
        for (channel in 0 until CHANNELS) {
            colour = colour or ((value shr channel and 1) shl bit shl 8 * (CHANNELS - 1 - channel))
        }
        value = value shr CHANNELS
    }
    colour
}

/** Colour class or segment maps: number 0 is transparent, others are their palette colour at `strength`. */
class ClassLayer(classes: Int = 256, strength: Double = 0.5) {
    private val colours = palette(classes).also { table ->
        val alpha = alpha(strength)
        for (number in 1 until table.size) table[number] = table[number] or alpha
    }

    /** Write ARGB, not premultiplied, of unsigned class numbers. */
    fun draw(classes: ByteArray, into: IntArray) {
        checkSizes(classes.size, into.size)
        val table = colours
        for (index in classes.indices) into[index] = table[classes[index].toInt() and 0xff]
    }

    /** Write ARGB, not premultiplied, of unsigned segment numbers. */
    fun draw(ids: ShortArray, into: IntArray) {
        checkSizes(ids.size, into.size)
        val table = colours
        for (index in ids.indices) into[index] = table[ids[index].toInt() and 0xffff]
    }
}

/** Colour a mask's probability: transparent up to ¼, at its full strength from ¾ on, a soft step between. */
class MaskLayer(rgb: Int = FOREGROUND, strength: Double = 0.38) {
    private val colours = IntArray(OPAQUE + 1) { level ->
        val inside = Math.min(Math.max((level / 255.0 - 0.25) * 2, 0.0), 1.0)
        alpha(strength * inside) or rgb
    }

    /** Write ARGB, not premultiplied, of probabilities in 0…1; the probability counts in steps of 1/255. */
    fun draw(probability: FloatArray, into: IntArray) {
        checkSizes(probability.size, into.size)
        val table = colours
        for (index in probability.indices) {
            val level = (probability[index] * 255f + 0.5f).toInt() // what is not a number becomes 0
            into[index] = table[Math.min(Math.max(level, 0), OPAQUE)]
        }
    }
}

private fun alpha(strength: Double): Int = Math.rint(OPAQUE * strength).toInt() shl 24

private fun checkSizes(values: Int, pixels: Int) =
    require(values <= pixels) { "$values values do not fit the layer of $pixels pixels" }
