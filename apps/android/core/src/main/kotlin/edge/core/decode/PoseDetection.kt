package edge.core.decode

import edge.core.image.Frame
import edge.core.image.Region
import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import edge.core.manifest.number
import edge.core.manifest.numbers

/**
 * One person: score in 0…1, box (x0, y0, x1, y1) and 4 keypoints (x, y) in picture pixels.
 *
 * Keypoints: mid-hip, full-body circle, mid-shoulder, upper-body circle (a circle is given by a point on it).
 */
class Detection(val score: Double, val box: DoubleArray, val keypoints: DoubleArray) {
    /** Return the turned square that a landmark model wants to see. */
    fun region(): Region = alignedRegion(keypoints[0], keypoints[1], keypoints[2], keypoints[3])
}

/** The people of a picture, highest score first. */
class Detections(val items: List<Detection>)

/** Find people: outputs `boxes` (1, N, 4 + 2K) and `scores` (1, N, 1) of logits, over the anchors in the settings. */
class PoseDetection(contract: Contract) {
    private val settings = contract.settings
    private val boxes = Output(contract, "boxes")
    private val scores = Output(contract, "scores")
    private val scoreThreshold = settings.number("score_threshold", 0.5)
    private val iouThreshold = settings.number("iou_threshold", 0.3)
    private var anchors = DoubleArray(0)
    private var anchorsWidth = 0
    private var anchorsHeight = 0

    /** Turn boxes and scores into people in picture pixels, overlapping ones merged; raises ContractError. */
    fun decode(outputs: Map<String, FloatArray>, frame: Frame): Detections {
        val raw = boxes.of(outputs)
        val logits = scores.of(outputs)
        setAnchors(frame)
        val count = anchors.size / 2
        if (boxes.shape.size != 3 || boxes.shape[1] != count || logits.size != count) {
            throw ContractError(
                "boxes ${boxes.shape} and ${logits.size} scores do not fit the $count anchors of the strides and " +
                    "anchors_per_cell in postprocess.settings",
            )
        }
        val scale = settings.number("scale", frame.tensorWidth.toDouble())
        val found = ArrayList<Detection>()
        for (index in 0 until count) {
            val score = sigmoid(logits[index])
            if (score >= scoreThreshold && isFinite(raw, index)) found.add(detection(raw, index, score, scale))
        }
        return Detections(weightedSuppression(found, iouThreshold).map { intoPicture(it, frame) })
    }

    private fun setAnchors(frame: Frame) {
        if (frame.tensorWidth == anchorsWidth && frame.tensorHeight == anchorsHeight) return
        val strides = whole("strides", listOf(8, 16, 32))
        val perCell = whole("anchors_per_cell", listOf(2, 2, 6))
        anchors = anchorCentres(frame.tensorWidth, frame.tensorHeight, strides, perCell)
        anchorsWidth = frame.tensorWidth
        anchorsHeight = frame.tensorHeight
    }

    private fun whole(name: String, otherwise: List<Int>): List<Int> =
        if (name in settings) settings.numbers(name).map { it.toInt() } else otherwise

    /** Whether a box holds numbers; one that does not is nobody. */
    private fun isFinite(raw: FloatArray, index: Int): Boolean {
        val size = boxes.shape[2]
        return (index * size until (index + 1) * size).all { raw[it].isFinite() }
    }

    /** Return one raw box, cx, cy, w, h and keypoints as offsets from its anchor in units of 1 / scale, in 0…1. */
    private fun detection(raw: FloatArray, index: Int, score: Double, scale: Double): Detection {
        val size = boxes.shape[2]
        val at = index * size
        val anchorX = anchors[2 * index]
        val anchorY = anchors[2 * index + 1]
        val x = raw[at] / scale + anchorX
        val y = raw[at + 1] / scale + anchorY
        val width = raw[at + 2] / scale
        val height = raw[at + 3] / scale
        val keypoints = DoubleArray(size - 4) { raw[at + 4 + it] / scale + if (it % 2 == 0) anchorX else anchorY }
        return Detection(score, doubleArrayOf(x - width / 2, y - height / 2, x + width / 2, y + height / 2), keypoints)
    }

    private fun intoPicture(item: Detection, frame: Frame) =
        Detection(item.score, intoPicture(item.box, frame), intoPicture(item.keypoints, frame))

    private fun intoPicture(points: DoubleArray, frame: Frame): DoubleArray {
        val moved = DoubleArray(points.size)
        for (index in points.indices step 2) {
            val x = points[index] * frame.tensorWidth
            val y = points[index + 1] * frame.tensorHeight
            moved[index] = frame.matrix.mapX(x, y)
            moved[index + 1] = frame.matrix.mapY(x, y)
        }
        return moved
    }
}
