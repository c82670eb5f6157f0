package edge.core.image

import edge.core.manifest.Colour
import edge.core.manifest.ContractError
import edge.core.manifest.DType
import edge.core.manifest.Layout
import edge.core.manifest.Preprocess
import edge.core.manifest.Resize
import edge.core.manifest.TensorSpec

/** How a camera's frame is turned to stand upright, clockwise. */
enum class Turn { NONE, QUARTER, HALF, THREE_QUARTERS }

/**
 * Turn pictures into one model's input, as its contract says; nothing is allocated after it is made.
 *
 * A picture, or a region of it, is sampled bilinearly at 8 bits, then every value becomes (pixel / 255 · (range[1] −
 * range[0]) + range[0] − mean) / std; integer dtypes are rounded and clipped. Letterbox bars are black, what a picture
 * in the corner leaves is grey; outside the picture a region shows its edge repeated. One thread at a time.
 */
class Preprocessor(private val spec: TensorSpec, private val rule: Preprocess) {
    private val width = rule.size.width
    private val height = rule.size.height
    private val warp = Warp(width, height)
    private val pixels = ByteArray(width * height * CHANNELS)
    private val stored = Affine()
    private val table = Array(CHANNELS) { channel -> FloatArray(BYTE + 1) { value(it, channel) } }

    init {
        if (spec.layout == Layout.NONE) {
            throw ContractError("${spec.name}: a picture needs a contract with an image layout")
        }
        if (spec.sizeHw != rule.size || spec.elements != pixels.size.toLong()) {
            throw ContractError("${spec.name}: shape ${spec.shape} is not one RGB picture of $width × $height")
        }
    }

    /**
     * Fill `into`, in the order of the input's layout, and `frame`, which ties it to the upright picture.
     *
     * `region` is in pixels of the upright picture; null is the whole of it.
     */
    fun run(source: Source, region: Region?, into: FloatArray, frame: Frame, turn: Turn = Turn.NONE) {
        checkSize(into.size)
        sample(source, region, frame, turn)
        each { at, pixel, channel -> into[at] = table[channel][pixel] }
    }

    /** Fill the bytes of an 8-bit input, signed or unsigned; raises ContractError for other dtypes. */
    fun run(source: Source, region: Region?, into: ByteArray, frame: Frame, turn: Turn = Turn.NONE) {
        if (spec.dtype != DType.UINT8 && spec.dtype != DType.INT8) {
            throw ContractError("${spec.name} is ${spec.dtype.text}; bytes fill an input of uint8 or int8")
        }
        checkSize(into.size)
        sample(source, region, frame, turn)
        each { at, pixel, channel -> into[at] = table[channel][pixel].toInt().toByte() }
    }

    private fun checkSize(size: Int) = require(size == pixels.size) {
        "${spec.name}: $size values were given for shape ${spec.shape} of ${pixels.size}"
    }

    private fun sample(source: Source, region: Region?, frame: Frame, turn: Turn) {
        val isUpright = turn == Turn.NONE || turn == Turn.HALF
        val imageWidth = if (isUpright) source.width else source.height
        val imageHeight = if (isUpright) source.height else source.width
        if (region != null) {
            checkRegion(region)
            frame.setRegion(imageWidth, imageHeight, width, height, region)
        } else {
            when (rule.resize) {
                Resize.STRETCH -> frame.setStretch(imageWidth, imageHeight, width, height)
                Resize.LETTERBOX -> frame.setLetterbox(imageWidth, imageHeight, width, height)
                Resize.CORNER -> frame.setCorner(imageWidth, imageHeight, width, height)
            }
        }
        setStored(frame.matrix, turn, source.width - 1, source.height - 1)
        warp.run(source, stored, if (region != null) Warp.REPEAT else BORDERS.getValue(rule.resize), pixels)
    }

    /** Map to the frame as the camera stores it. */
    private fun setStored(upright: Affine, turn: Turn, lastX: Int, lastY: Int) {
        when (turn) {
            Turn.NONE -> stored.set(upright)
            Turn.QUARTER -> stored.set(upright.yx, upright.yy, upright.y0, -upright.xx, -upright.xy, lastY - upright.x0)
            Turn.HALF ->
                stored.set(-upright.xx, -upright.xy, lastX - upright.x0, -upright.yx, -upright.yy, lastY - upright.y0)
            Turn.THREE_QUARTERS ->
                stored.set(-upright.yx, -upright.yy, lastX - upright.y0, upright.xx, upright.xy, upright.x0)
        }
    }

    /** Give every value's place in the input, its pixel's byte and its channel of the input. */
    private inline fun each(take: (Int, Int, Int) -> Unit) {
        val count = width * height
        val first = if (rule.colour == Colour.BGR) CHANNELS - 1 else 0
        val step = if (rule.colour == Colour.BGR) -1 else 1
        val channelsFirst = spec.layout == Layout.NCHW
        for (channel in 0 until CHANNELS) {
            var from = first + step * channel
            var at = if (channelsFirst) channel * count else channel
            val stride = if (channelsFirst) 1 else CHANNELS
            for (pixel in 0 until count) {
                take(at, pixels[from].toInt() and BYTE, channel)
                from += CHANNELS
                at += stride
            }
        }
    }

    private fun value(pixel: Int, channel: Int): Float {
        val (low, high) = rule.range
        val scale = ((high - low) / 255.0 / rule.std[channel]).toFloat()
        val offset = ((low - rule.mean[channel]) / rule.std[channel]).toFloat()
        val value = pixel * scale + offset
        val limits = LIMITS[spec.dtype] ?: return value
        return Math.min(Math.max(Math.rint(value.toDouble()), limits.first), limits.second).toFloat()
    }
}

private val BORDERS = mapOf(Resize.STRETCH to Warp.REPEAT, Resize.LETTERBOX to 0, Resize.CORNER to 128)

private val LIMITS = mapOf(
    DType.UINT8 to (0.0 to 255.0),
    DType.INT8 to (-128.0 to 127.0),
    DType.INT16 to (-32768.0 to 32767.0),
    DType.INT32 to (Int.MIN_VALUE.toDouble() to Int.MAX_VALUE.toDouble()),
    DType.INT64 to (Long.MIN_VALUE.toDouble() to Long.MAX_VALUE.toDouble()),
)

private fun checkRegion(region: Region) {
    val finite = region.centreX.isFinite() && region.centreY.isFinite() && region.rotation.isFinite()
    require(finite && region.side > 0 && region.side.isFinite()) {
        "$region; its numbers have to be finite, its side positive"
    }
}

/** Return a picture, or a region of it, as a model's input in `into`, and how the two are tied: for single pictures. */
fun preprocess(picture: Picture, spec: TensorSpec, rule: Preprocess, region: Region?, into: FloatArray): Frame {
    val frame = Frame()
    Preprocessor(spec, rule).run(picture, region, into, frame)
    return frame
}
