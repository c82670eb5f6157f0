package edge.core.decode

import edge.core.image.Affine
import edge.core.image.Frame
import edge.core.image.PlaneView
import edge.core.image.PlaneWarp
import edge.core.image.nearest
import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import edge.core.manifest.DType
import edge.core.manifest.number

/**
 * A class map of a picture, in memory that its decoder uses again for the next one.
 *
 * `classes` (height · width) holds class numbers, unsigned; for one foreground class they are 0 and 1, and
 * `probability` (height · width) is what the model said. `labels` names the classes by number.
 */
class Segmentation internal constructor(val labels: List<String>) {
    var width = 0
        private set
    var height = 0
        private set
    var classes = ByteArray(0)
        private set
    var probability: FloatArray? = null
        private set

    /** Return the class's name, or its number where it has none. */
    fun label(number: Int): String = labels.getOrElse(number) { number.toString() }

    internal fun setSize(width: Int, height: Int) {
        this.width = width
        this.height = height
        if (classes.size != width * height) classes = ByteArray(width * height)
    }

    internal fun makeProbability(): FloatArray {
        val before = probability
        val found = if (before != null && before.size == classes.size) before else FloatArray(classes.size)
        probability = found
        return found
    }
}

/**
 * Segment a picture; the first output has one plane of probability, one plane of scores a class, or class numbers.
 *
 * Decoders: `probability` (setting `threshold`, 0.5) and `logits` (softmax, resized, then the largest class) choose at
 * the picture's size. `argmax`, `threshold` and `labels` (class numbers as they are) choose at the model's size, and
 * every pixel takes the nearest choice. Without a stated decoder, integers are `labels`.
 */
class SegmentationTask(contract: Contract) {
    private val output = Output(
        contract,
        contract.outputs.firstOrNull()?.name ?: throw ContractError("segmentation needs a contract with outputs"),
    )
    private val decoder = decoderOf(contract)
    private val threshold = contract.settings.number("threshold", 0.5).toFloat()
    private val planes = if (decoder == "labels") listOf(labelPlane(output)) else output.planes()
    private val result = Segmentation(names(contract.labels, decoder))
    private val matrix = Affine()
    private val warp = PlaneWarp()
    private val largest = if (decoder == "logits") LargestClass(planes) else null
    private val classes = ByteArray(planes[0].width * planes[0].height)

    init {
        if (decoder !in DECODERS) {
            throw ContractError("segmentation has no decoder '$decoder'; it has ${DECODERS.joinToString()}")
        }
        if (planes.size > MOST_CLASSES) throw ContractError("${planes.size} classes; at most $MOST_CLASSES are decoded")
    }

    /** Resize the planes to the picture and choose each pixel's class; the result is good until the next call. */
    fun decode(outputs: Map<String, FloatArray>, frame: Frame): Segmentation {
        val values = output.of(outputs)
        val plane = planes[0]
        result.setSize(frame.imageWidth, frame.imageHeight)
        // Picture pixels to those of the planes, which may be smaller than the input tensor.
        matrix.setInverse(frame.matrix)
            .scale(plane.width.toDouble() / frame.tensorWidth, plane.height.toDouble() / frame.tensorHeight)
        when {
            decoder == "probability" -> choose(values, plane)
            largest != null -> largest.choose(values, matrix, result)
            else -> takeNearest(values, plane)
        }
        return result
    }

    private fun choose(values: FloatArray, plane: PlaneView) {
        val probability = result.makeProbability()
        val width = result.width
        warp.set(matrix, plane.width, plane.height, width)
        for (y in 0 until result.height) warp.row(values, plane, y, probability, y * width, 0, width)
        for (index in probability.indices) result.classes[index] = if (probability[index] > threshold) 1 else 0
    }

    private fun takeNearest(values: FloatArray, plane: PlaneView) {
        for (y in 0 until plane.height) {
            for (x in 0 until plane.width) {
                classes[y * plane.width + x] = choice(values, y * plane.rowStep + x * plane.columnStep)
            }
        }
        for (y in 0 until result.height) {
            for (x in 0 until result.width) {
                val column = nearest(matrix.xx * x + matrix.xy * y + matrix.x0, plane.width)
                val row = nearest(matrix.yx * x + matrix.yy * y + matrix.y0, plane.height)
                result.classes[y * result.width + x] = classes[row * plane.width + column]
            }
        }
    }

    private fun choice(values: FloatArray, at: Int): Byte = when (decoder) {
        "argmax" -> argmax(values, at)
        "threshold" -> if (values[at + planes[0].offset] > threshold) 1 else 0
        else -> {
            val number = values[at]
            if (!(number >= 0 && number < MOST_CLASSES)) {
                throw ContractError("class $number is out of range; at most $MOST_CLASSES classes")
            }
            number.toInt().toByte()
        }
    }

    /** Return the plane with the largest score, of equal ones the first; what is not a number is largest. */
    private fun argmax(values: FloatArray, at: Int): Byte {
        var best = 0
        for (number in 1 until planes.size) {
            val value = values[at + planes[number].offset]
            val most = values[at + planes[best].offset]
            if (value > most || (value.isNaN() && !most.isNaN())) best = number
        }
        return best.toByte()
    }
}

private const val MOST_CLASSES = 256
private val DECODERS = listOf("probability", "logits", "argmax", "threshold", "labels")

/** Return the decoder that the contract names, or the one that its first output's type and planes ask for. */
private fun decoderOf(contract: Contract): String {
    contract.postprocess?.let { return it.decoder }
    val spec = contract.outputs[0]
    if (spec.dtype != DType.FLOAT32 && spec.dtype != DType.FLOAT16) return "labels"
    return if (Output(contract, spec.name).planes().size == 1) "probability" else "logits"
}

private fun labelPlane(output: Output): PlaneView {
    var sizes = output.shape
    while (sizes.size > 2 && (sizes.first() == 1 || sizes.last() == 1)) {
        sizes = if (sizes.first() == 1) sizes.drop(1) else sizes.dropLast(1)
    }
    if (sizes.size != 2) throw ContractError("class numbers need shape (1, H, W), not ${output.shape}")
    return PlaneView(sizes[1], sizes[0], 0, sizes[1], 1)
}

/** Return the classes' names by number; a single label of two classes names class 1. */
private fun names(labels: List<String>, decoder: String): List<String> =
    if (labels.size == 1 && decoder != "logits") listOf("background") + labels else labels
