package edge.core.app

import edge.core.decode.LANDMARK_NAMES
import edge.core.decode.Pose
import kotlin.math.hypot

private const val LEAST_VISIBLE = 0.5
private const val LEFT = 0xffff8a30.toInt() // the person's own left is warm
private const val RIGHT = 0xff26beff.toInt()
private const val MIDDLE = 0xfff4f4f8.toInt()
private const val RIM = 0x9610121c.toInt()
private const val FACE_POINTS = 11 // the first landmarks
private const val AXES = 3

private val BODY = listOf(
    "left_shoulder" to "right_shoulder", "left_hip" to "right_hip", "left_shoulder" to "left_hip",
    "right_shoulder" to "right_hip", "left_shoulder" to "left_elbow", "right_shoulder" to "right_elbow",
    "left_elbow" to "left_wrist", "right_elbow" to "right_wrist", "left_wrist" to "left_index",
    "right_wrist" to "right_index", "left_wrist" to "left_pinky", "right_wrist" to "right_pinky",
    "left_wrist" to "left_thumb", "right_wrist" to "right_thumb", "left_pinky" to "left_index",
    "right_pinky" to "right_index", "left_hip" to "left_knee", "right_hip" to "right_knee",
    "left_knee" to "left_ankle", "right_knee" to "right_ankle", "left_ankle" to "left_heel",
    "right_ankle" to "right_heel", "left_heel" to "left_foot_index", "right_heel" to "right_foot_index",
    "left_ankle" to "left_foot_index", "right_ankle" to "right_foot_index",
)
private val FACE = listOf(
    "mouth_left" to "mouth_right", "nose" to "left_eye_inner", "left_eye_inner" to "left_eye",
    "left_eye" to "left_eye_outer", "left_eye_outer" to "left_ear", "nose" to "right_eye_inner",
    "right_eye_inner" to "right_eye", "right_eye" to "right_eye_outer", "right_eye_outer" to "right_ear",
)

private class Bone(val from: Int, val to: Int, val thick: Float, val argb: Int)

private val BONES: List<Bone> = BODY.map { bone(it, 1f) } + FACE.map { bone(it, 0.5f) }
private val POINT_COLOURS = IntArray(LANDMARK_NAMES.size) { side(LANDMARK_NAMES[it], LANDMARK_NAMES[it]) }

private fun bone(names: Pair<String, String>, thick: Float) = Bone(
    LANDMARK_NAMES.indexOf(names.first),
    LANDMARK_NAMES.indexOf(names.second),
    thick,
    side(names.first, names.second),
)

private fun side(a: String, b: String): Int {
    val left = "left" in a || "left" in b
    val right = "right" in a || "right" in b
    return if (left == right) MIDDLE else if (left) LEFT else RIGHT
}

/** Draw the visible skeleton of a pose in a picture of `width` × `height` pixels; allocates nothing. */
fun drawPose(pen: Pen, pose: Pose, place: Placement, width: Int, height: Int) {
    if (!pose.found) return
    val stroke = stroke(pose, width, height) * place.scale
    for (bone in BONES) if (pose.sees(bone)) pen.draw(pose, bone, place, (bone.thick + 0.45f) * stroke, RIM)
    for (bone in BONES) if (pose.sees(bone)) pen.draw(pose, bone, place, bone.thick * stroke, bone.argb)
    for (index in POINT_COLOURS.indices) {
        if (pose.visibility[index] < LEAST_VISIBLE) continue
        val radius = (if (index < FACE_POINTS) 0.55f else 1f) * stroke * 1.05f
        val x = place.x(pose.points[index * AXES])
        val y = place.y(pose.points[index * AXES + 1])
        pen.disc(x, y, radius, MIDDLE)
        pen.disc(x, y, radius * 0.68f, POINT_COLOURS[index])
    }
}

private fun Pose.sees(bone: Bone) = visibility[bone.from] >= LEAST_VISIBLE && visibility[bone.to] >= LEAST_VISIBLE

private fun Pen.draw(pose: Pose, bone: Bone, place: Placement, width: Float, argb: Int) {
    val points = pose.points
    line(
        place.x(points[bone.from * AXES]), place.y(points[bone.from * AXES + 1]),
        place.x(points[bone.to * AXES]), place.y(points[bone.to * AXES + 1]),
        width, argb,
    )
}

/** Return the bones' width in picture pixels: a share of the person's size, within a share of the picture's. */
private fun stroke(pose: Pose, width: Int, height: Int): Float {
    var spread = 0.0
    for (axis in 0..1) {
        var low = Double.POSITIVE_INFINITY
        var high = Double.NEGATIVE_INFINITY
        for (index in POINT_COLOURS.indices) {
            val value = pose.points[index * AXES + axis]
            if (value < low) low = value
            if (value > high) high = value
        }
        if (high - low > spread) spread = high - low
    }
    val diagonal = hypot(width.toDouble(), height.toDouble())
    return Math.min(Math.max(0.014 * spread, 0.003 * diagonal), 0.010 * diagonal).toFloat()
}
