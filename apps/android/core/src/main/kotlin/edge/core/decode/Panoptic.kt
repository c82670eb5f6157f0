package edge.core.decode

import edge.core.image.Affine
import edge.core.image.Frame
import edge.core.image.PlaneWarp
import edge.core.image.nearest
import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import kotlin.math.exp

/** One thing, or all regions of one kind of stuff; `area` in pixels of the picture, `score` in 0…1. */
data class Segment(
    val id: Int,
    val category: Int,
    val label: String,
    val isThing: Boolean,
    val score: Double,
    val area: Int,
)

/** A picture in segments: `ids` (height · width) holds each pixel's segment, unsigned, 0 where there is none. */
class Panoptic(val width: Int, val height: Int, val ids: ShortArray, val segments: List<Segment>)

/**
 * Segment a picture by queries: `class_logits` (1, L, classes + 1), the last for nothing, and `mask_logits` of L
 * planes.
 *
 * A picture that is larger than the model's input is merged at the input's size; its pixels take the nearest segment.
 */
class PanopticTask(private val contract: Contract) {
    private val rule = MaskWiseRule(contract)
    private val classes = Output(contract, "class_logits")
    private val masks = Output(contract, "mask_logits")
    private val planes = masks.planes()
    private val queries = classes.shape.getOrElse(1) { 0 }
    private val toMasks = Affine()
    private val warp = PlaneWarp()

    init {
        val expected = contract.labels.size + 1
        if (classes.shape.size != 3 || classes.shape[2] != expected) {
            throw ContractError(
                "class_logits: shape ${classes.shape} is not (1, queries, $expected), a value for each of the " +
                    "contract's ${expected - 1} labels and one for nothing",
            )
        }
        if (planes.size != queries) {
            throw ContractError("mask_logits has ${planes.size} planes for the $queries queries of class_logits")
        }
    }

    /** Merge the masks at the picture's size; raises ContractError for outputs that do not fit. */
    fun decode(outputs: Map<String, FloatArray>, frame: Frame): Panoptic {
        val bounds = bounds(frame)
        val ids = ShortArray(bounds.width * bounds.height)
        val confident = confidentQueries(classes.of(outputs))
        if (confident.isNotEmpty()) collectPixels(confident, masks.of(outputs), frame, bounds)
        confident.forEach { it.setScore(rule) }
        val kept = giveAway(confident, rule, ids)
        val whole = enlarged(ids, bounds, frame)
        return Panoptic(frame.imageWidth, frame.imageHeight, whole, segments(whole, kept))
    }

    private class Bounds(val width: Int, val height: Int)

    /** Return the size that masks are merged at: with a longer side of at most the model's, for they show no more. */
    private fun bounds(frame: Frame): Bounds {
        val longest = maxOf(frame.imageWidth, frame.imageHeight)
        val scale = maxOf(frame.tensorWidth, frame.tensorHeight).toDouble() / longest
        if (scale >= 1) return Bounds(frame.imageWidth, frame.imageHeight)
        return Bounds(bounded(frame.imageWidth, scale), bounded(frame.imageHeight, scale))
    }

    private fun bounded(size: Int, scale: Double) = maxOf(1, Math.rint(size * scale).toInt())

    /** Return the queries whose best class, but nothing, is sure enough. */
    private fun confidentQueries(logits: FloatArray): List<QueryMask> {
        val found = ArrayList<QueryMask>()
        val count = classes.shape[2]
        for (query in 0 until queries) {
            val at = query * count
            val top = (at until at + count).maxOf { logits[it].toDouble() }
            val total = (at until at + count).sumOf { exp(logits[it] - top) }
            var best = 0
            for (category in 1 until count - 1) if (logits[at + category] > logits[at + best]) best = category
            val share = if (count > 1) exp(logits[at + best] - top) / total else 0.0
            if (rule.counts(best, share)) found.add(QueryMask(query, best, share))
        }
        return found
    }

    /** Share every pixel out among all queries, and keep those of the confident ones that have enough of it. */
    private fun collectPixels(confident: List<QueryMask>, logits: FloatArray, frame: Frame, bounds: Bounds) {
        val width = bounds.width
        val shares = FloatArray(queries * width)
        setToMasks(frame, bounds)
        warp.set(toMasks, planes[0].width, planes[0].height, width)
        for (y in 0 until bounds.height) {
            for (query in 0 until queries) warp.row(logits, planes[query], y, shares, query * width, 0, width)
            for (x in 0 until width) softmax(shares, x, width)
            for (mask in confident) {
                for (x in 0 until width) {
                    val share = shares[mask.query * width + x]
                    if (share > rule.pixelConfidence.toFloat()) mask.add(y * width + x, share)
                }
            }
        }
    }

    private fun softmax(shares: FloatArray, x: Int, width: Int) {
        var top = Float.NEGATIVE_INFINITY
        for (at in x until shares.size step width) top = Math.max(top, shares[at])
        var sum = 0f
        for (at in x until shares.size step width) {
            shares[at] = exp(shares[at] - top)
            sum += shares[at]
        }
        for (at in x until shares.size step width) shares[at] /= sum
    }

    /** Map the merged picture's pixels to the masks'. */
    private fun setToMasks(frame: Frame, bounds: Bounds) {
        toMasks.set(frame.matrix)
            .scale(bounds.width.toDouble() / frame.imageWidth, bounds.height.toDouble() / frame.imageHeight)
        toMasks.setInverse(Affine().set(toMasks))
            .scale(maskScale(frame.tensorWidth, planes[0].width), maskScale(frame.tensorHeight, planes[0].height))
    }

    /** Return how many mask pixels an input pixel is wide or high; odd axes are aligned at their ends. */
    private fun maskScale(tensor: Int, mask: Int): Double =
        if (tensor % 2 == 1 && tensor > 1) (mask - 1.0) / (tensor - 1.0) else mask.toDouble() / tensor

    private fun enlarged(ids: ShortArray, bounds: Bounds, frame: Frame): ShortArray {
        val scaleX = bounds.width.toDouble() / frame.imageWidth
        val scaleY = bounds.height.toDouble() / frame.imageHeight
        val columns = IntArray(frame.imageWidth) { nearest(scaleX * it, bounds.width) }
        val whole = ShortArray(frame.imageWidth * frame.imageHeight)
        for (y in 0 until frame.imageHeight) {
            val row = nearest(scaleY * y, bounds.height) * bounds.width
            for (x in columns.indices) whole[y * columns.size + x] = ids[row + columns[x]]
        }
        return whole
    }

    private fun segments(ids: ShortArray, kept: List<QueryMask>): List<Segment> {
        val areas = IntArray(kept.size + 1)
        for (id in ids) areas[id.toInt() and 0xffff]++
        return kept.mapIndexed { index, mask ->
            val label = contract.labels[mask.category]
            Segment(index + 1, mask.category, label, rule.isThing(mask.category), mask.score, areas[index + 1])
        }
    }
}
