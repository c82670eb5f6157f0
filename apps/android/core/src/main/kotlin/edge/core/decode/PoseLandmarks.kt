package edge.core.decode

import edge.core.image.Affine
import edge.core.image.Frame
import edge.core.image.PlaneView
import edge.core.image.PlaneWarp
import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.hypot

private const val VALUES = 5 // a landmark is x, y, z in tensor pixels, and logits of visibility and presence
private const val AXES = 3

/**
 * Place 33 landmarks on one person, in the arrays of a pose that is made once.
 *
 * Outputs `landmarks` (1, 5·N), N ≥ 33, `presence` (1, 1) probability, `world` (1, 3·N) metres, and if the model has
 * them `heatmap` (N planes of logits) and `mask` (1 plane of logits). Landmarks 33 and 34, where there are any, say
 * where to look in the next picture. Without the mask nothing is allocated but the next region.
 */
class PoseLandmarks(contract: Contract) {
    private val landmarks = Output(contract, "landmarks")
    private val presence = Output(contract, "presence")
    private val world = Output(contract, "world")
    private val heatmap = contract.outputs.firstOrNull { it.name == "heatmap" }?.let { Output(contract, it.name) }
    private val mask = contract.outputs.firstOrNull { it.name == "mask" }?.let { Output(contract, it.name) }
    private val heatmapPlanes = heatmap?.planes().orEmpty()
    private val maskPlane = mask?.planes()?.first()
    private val count = landmarks.shape.fold(1, Int::times) / VALUES
    private val flat = DoubleArray(count * 2) // x, y in 0…1 of the tensor
    private val maskWarp = PlaneWarp()
    private val toMask = Affine()
    private val framedView: PlaneView = withRim(maskPlane)
    private val framed = FloatArray(framedView.width * framedView.height)

    init {
        val points = LANDMARK_NAMES.size
        val isWhole = landmarks.shape.fold(1, Int::times) == count * VALUES
        if (!isWhole || count < points || world.shape.fold(1, Int::times) < points * AXES) {
            throw ContractError(
                "landmarks ${landmarks.shape} and world ${world.shape} do not hold $points points of $VALUES and " +
                    "$AXES values",
            )
        }
    }

    /** Fill `into`, in picture pixels and metres, both upright in the picture; the mask only if `withMask`. */
    fun decode(outputs: Map<String, FloatArray>, frame: Frame, into: Pose, withMask: Boolean = true): Pose {
        val raw = landmarks.of(outputs)
        setFlat(raw, outputs, frame)
        val scale = hypot(frame.matrix.xx, frame.matrix.yx) // picture pixels in a tensor pixel
        for (point in LANDMARK_NAMES.indices) {
            setPoint(into.points, point, frame)
            into.points[point * AXES + 2] = raw[point * VALUES + 2] * scale
            into.visibility[point] = sigmoid(raw[point * VALUES + 3])
            into.presence[point] = sigmoid(raw[point * VALUES + 4])
        }
        setWorld(world.of(outputs), frame.matrix, scale, into.world)
        into.score = presence.of(outputs)[0].toDouble()
        into.region = frame.region
        into.nextRegion = nextRegion(frame)
        val isMasked = withMask && mask != null && maskPlane != null
        into.mask = if (isMasked) mask(mask.of(outputs), maskPlane, frame, into.mask) else null
        return into
    }

    private fun setFlat(raw: FloatArray, outputs: Map<String, FloatArray>, frame: Frame) {
        for (point in 0 until count) {
            flat[2 * point] = raw[point * VALUES].toDouble() / frame.tensorWidth
            flat[2 * point + 1] = raw[point * VALUES + 1].toDouble() / frame.tensorHeight
        }
        if (heatmap == null) return
        val logits = heatmap.of(outputs)
        for (point in 0 until minOf(count, heatmapPlanes.size)) {
            refineOnHeatmap(flat, point, logits, heatmapPlanes[point])
        }
    }

    private fun setPoint(points: DoubleArray, point: Int, frame: Frame) {
        val x = flat[2 * point] * frame.tensorWidth
        val y = flat[2 * point + 1] * frame.tensorHeight
        points[point * AXES] = frame.matrix.mapX(x, y)
        points[point * AXES + 1] = frame.matrix.mapY(x, y)
    }

    private fun setWorld(metres: FloatArray, matrix: Affine, scale: Double, into: DoubleArray) {
        for (at in into.indices step AXES) {
            val x = metres[at].toDouble()
            val y = metres[at + 1].toDouble()
            into[at] = matrix.xx / scale * x + matrix.xy / scale * y
            into[at + 1] = matrix.yx / scale * x + matrix.yy / scale * y
            into[at + 2] = metres[at + 2].toDouble()
        }
    }

    /** Return the square that the two landmarks beyond the body's span, as a detector's keypoints do; null without. */
    private fun nextRegion(frame: Frame) = if (count < LANDMARK_NAMES.size + 2) {
        null
    } else {
        val centre = LANDMARK_NAMES.size
        val rim = centre + 1
        alignedRegion(pictureX(centre, frame), pictureY(centre, frame), pictureX(rim, frame), pictureY(rim, frame))
            .takeIf { it.side > 0 && (it.centreX + it.centreY + it.side).isFinite() }
    }

    private fun pictureX(point: Int, frame: Frame) =
        frame.matrix.mapX(flat[2 * point] * frame.tensorWidth, flat[2 * point + 1] * frame.tensorHeight)

    private fun pictureY(point: Int, frame: Frame) =
        frame.matrix.mapY(flat[2 * point] * frame.tensorWidth, flat[2 * point + 1] * frame.tensorHeight)

    /** Return the mask's probability over the whole picture, zero outside the region; in `before` if that fits. */
    private fun mask(logits: FloatArray, view: PlaneView, frame: Frame, before: FloatArray?): FloatArray {
        val stride = framedView.width // what repeats outside the region is then zero
        for (y in 0 until view.height) {
            for (x in 0 until view.width) {
                val logit = logits[view.at(x, y)]
                framed[(y + 1) * stride + x + 1] = sigmoid(logit).toFloat()
            }
        }
        val size = frame.imageWidth * frame.imageHeight
        val into = if (before != null && before.size == size) before else FloatArray(size)
        toMask.setInverse(frame.matrix).shift(1.0, 1.0)
        maskWarp.set(toMask, framedView.width, framedView.height, frame.imageWidth)
        into.fill(0f)
        val map = frame.matrix
        val left = first(map.xx, map.xy, map.x0, view).coerceIn(0, frame.imageWidth)
        val right = last(map.xx, map.xy, map.x0, view).coerceIn(0, frame.imageWidth)
        val top = first(map.yx, map.yy, map.y0, view).coerceIn(0, frame.imageHeight)
        val bottom = last(map.yx, map.yy, map.y0, view).coerceIn(0, frame.imageHeight)
        for (y in top until bottom) maskWarp.row(framed, framedView, y, into, y * frame.imageWidth, left, right)
        return into
    }

    /** Return where the mask with its rim begins along one of the picture's axes, x' = x · perX + y · perY + shift. */
    private fun first(perX: Double, perY: Double, shift: Double, view: PlaneView): Int =
        floor(shift + minOf(-perX, perX * view.width) + minOf(-perY, perY * view.height)).toInt()

    private fun last(perX: Double, perY: Double, shift: Double, view: PlaneView): Int =
        (ceil(shift + maxOf(-perX, perX * view.width) + maxOf(-perY, perY * view.height)) + 1).toInt()
}

/** Return a plane with a rim one value wide around another, or around nothing. */
private fun withRim(plane: PlaneView?): PlaneView {
    val width = (plane?.width ?: 0) + 2
    return PlaneView(width, (plane?.height ?: 0) + 2, 0, width, 1)
}
