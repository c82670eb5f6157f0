package edge.core.decode

import edge.core.image.Region
import kotlin.math.PI
import kotlin.math.atan2
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.hypot

private const val REGION_SCALE = 1.25 // the region is this much larger than the circle around the person

/** Return the anchors' centres (N, 2), x then y in 0…1, rows first; the anchors of a cell lie at its centre. */
internal fun anchorCentres(tensorWidth: Int, tensorHeight: Int, strides: List<Int>, perCell: List<Int>): DoubleArray {
    require(strides.size == perCell.size && strides.all { it > 0 } && perCell.all { it > 0 }) {
        "strides $strides and anchors_per_cell $perCell; expected as many of one as of the other, all positive"
    }
    val found = ArrayList<Double>()
    for ((stride, count) in strides.zip(perCell)) {
        val rows = ceil(tensorHeight.toDouble() / stride).toInt()
        val columns = ceil(tensorWidth.toDouble() / stride).toInt()
        for (row in 0 until rows) {
            for (column in 0 until columns) {
                repeat(count) {
                    found.add((column + 0.5) / columns)
                    found.add((row + 0.5) / rows)
                }
            }
        }
    }
    return found.toDoubleArray()
}

/** Return intersection over union of two boxes x0, y0, x1, y1; 0 for empty boxes. */
internal fun boxIou(a: DoubleArray, b: DoubleArray): Double {
    val shared = span(Math.max(a[0], b[0]), Math.min(a[2], b[2])) * span(Math.max(a[1], b[1]), Math.min(a[3], b[3]))
    val union = area(a) + area(b) - shared
    return if (union > 0) shared / union else 0.0
}

private fun area(box: DoubleArray) = span(box[0], box[2]) * span(box[1], box[3])

private fun span(low: Double, high: Double) = Math.max(high - low, 0.0)

/**
 * Merge detections that overlap a better one by more than `iouThreshold` into their score-weighted mean.
 *
 * A merged detection keeps its best score; each one is used once. Returns them by falling score; of equal scores the
 * first comes first. After Bazarevsky et al., "BlazeFace", 2019.
 */
internal fun weightedSuppression(found: List<Detection>, iouThreshold: Double): List<Detection> {
    val left = found.sortedByDescending { it.score }.toMutableList()
    val merged = ArrayList<Detection>()
    while (left.isNotEmpty()) {
        val best = left.first()
        // An empty box overlaps nothing, not even itself.
        val (group, rest) = left.partition { it === best || boxIou(best.box, it.box) > iouThreshold }
        merged.add(mean(best.score, group))
        left.clear()
        left.addAll(rest)
    }
    return merged
}

private fun mean(score: Double, group: List<Detection>): Detection {
    val total = group.sumOf { it.score }
    val box = DoubleArray(group[0].box.size)
    val keypoints = DoubleArray(group[0].keypoints.size)
    for (item in group) {
        val weight = item.score / total
        for (index in box.indices) box[index] += weight * item.box[index]
        for (index in keypoints.indices) keypoints[index] += weight * item.keypoints[index]
    }
    return Detection(score, box, keypoints)
}

/** Return the square around point 0 that reaches 1.25 times as far as point 1, turned so that 0→1 is up. */
internal fun alignedRegion(x0: Double, y0: Double, x1: Double, y1: Double): Region {
    val side = 2 * hypot(x1 - x0, y1 - y0) * REGION_SCALE
    val turn = PI / 2 - atan2(-(y1 - y0), x1 - x0)
    return Region(x0, y0, side, turn - 2 * PI * floor((turn + PI) / (2 * PI))) // into −π…π
}
