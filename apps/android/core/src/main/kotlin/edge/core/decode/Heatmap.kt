package edge.core.decode

import edge.core.image.PlaneView
import kotlin.math.floor

private const val REACH = 3 // cells to each side
private const val LEAST = 0.5

/**
 * Move the point at 2 · `index` of `points`, x and y in 0…1, to its heatmap's centroid of probability within 7 × 7
 * cells.
 *
 * A point outside the heatmap, or where no cell reaches ½ or one is not a number, stays. Cell i lies at i / width, as
 * MediaPipe's RefineLandmarksFromHeatmapCalculator has it.
 */
internal fun refineOnHeatmap(points: DoubleArray, index: Int, logits: FloatArray, view: PlaneView) {
    val centreX = floor(points[2 * index] * view.width)
    val centreY = floor(points[2 * index + 1] * view.height)
    if (!(centreX >= 0 && centreX < view.width && centreY >= 0 && centreY < view.height)) return
    val left = maxOf(0, centreX.toInt() - REACH)
    val top = maxOf(0, centreY.toInt() - REACH)
    val right = minOf(view.width - 1, centreX.toInt() + REACH)
    val bottom = minOf(view.height - 1, centreY.toInt() + REACH)
    var total = 0.0
    var sumX = 0.0
    var sumY = 0.0
    var most = 0.0
    for (y in top..bottom) {
        for (x in left..right) {
            val share = sigmoid(logits[view.at(x, y)])
            most = Math.max(most, share) // not a number stays so
            total += share
            sumX += share * x
            sumY += share * y
        }
    }
    if (!(most >= LEAST)) return
    points[2 * index] = sumX / total / view.width
    points[2 * index + 1] = sumY / total / view.height
}
