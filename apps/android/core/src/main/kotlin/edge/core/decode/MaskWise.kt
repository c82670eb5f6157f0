package edge.core.decode

import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import edge.core.manifest.number

private const val MASK_WISE = "mask-wise"
private val KNOWN = setOf(
    "things", "pixel_confidence", "thing_confidence", "stuff_confidence", "least_visible", "class_weight",
    "mask_weight",
)

/** The settings of the decoder `mask-wise`; classes below `things` are things. */
internal class MaskWiseRule(contract: Contract) {
    private val settings = contract.settings

    init {
        val decoder = contract.postprocess?.decoder
        if (decoder != MASK_WISE) {
            throw ContractError("panoptic has no decoder '${decoder.orEmpty()}'; it has $MASK_WISE")
        }
        val strange = settings.keys - KNOWN
        if (strange.isNotEmpty()) {
            throw ContractError("postprocess.settings of $MASK_WISE has no ${strange.joinToString()}")
        }
    }

    val things: Int = settings.number("things").toInt()
    val pixelConfidence = settings.number("pixel_confidence", 0.4)
    val leastVisible = settings.number("least_visible", 0.8)
    val classWeight = settings.number("class_weight", 1.0)
    val maskWeight = settings.number("mask_weight", 1.0)
    private val thingConfidence = settings.number("thing_confidence", 0.7)
    private val stuffConfidence = settings.number("stuff_confidence", 0.5)

    init {
        if (things !in 0..contract.labels.size) {
            throw ContractError(
                "postprocess.settings.things is $things; it counts the first of the contract's " +
                    "${contract.labels.size} labels that are things",
            )
        }
    }

    fun isThing(category: Int): Boolean = category < things

    /** Whether a query's class is sure enough to count. */
    fun counts(category: Int, share: Double): Boolean =
        share > if (isThing(category)) thingConfidence else stuffConfidence
}

/** The pixels of a confident query, as positions in the flattened picture, and the confidence of class and mask. */
internal class QueryMask(val query: Int, val category: Int, val share: Double) {
    var pixels = IntArray(256)
        private set
    var size = 0
        private set
    var score = 0.0
        private set
    private var sum = 0.0

    fun add(pixel: Int, confidence: Float) {
        if (size == pixels.size) pixels = pixels.copyOf(2 * size)
        pixels[size++] = pixel
        sum += confidence
    }

    fun setScore(rule: MaskWiseRule) {
        score = Math.pow(share, rule.classWeight) * Math.pow(sum / maxOf(size, 1), rule.maskWeight)
    }
}

/**
 * Give pixels to masks in the order of their confidence, numbers from 1, and return the masks that got a number of
 * their own.
 *
 * One of whose mask too little is left is dropped; regions of one kind of stuff share a number. Source: the mask-wise
 * merging of Yu et al., k-means Mask Transformer (ECCV 2022).
 */
internal fun giveAway(masks: List<QueryMask>, rule: MaskWiseRule, ids: ShortArray): List<QueryMask> {
    val stuff = HashMap<Int, Int>()
    val kept = ArrayList<QueryMask>()
    for (mask in masks.sortedByDescending { it.score }) {
        val free = (0 until mask.size).count { ids[mask.pixels[it]] == NONE }
        if (!(free > mask.size * rule.leastVisible)) continue
        val number = stuff[mask.category] ?: (kept.size + 1)
        for (index in 0 until mask.size) {
            val pixel = mask.pixels[index]
            if (ids[pixel] == NONE) ids[pixel] = number.toShort()
        }
        if (number > kept.size) {
            kept.add(mask)
            if (!rule.isThing(mask.category)) stuff[mask.category] = number
        }
    }
    return kept
}

private const val NONE: Short = 0
