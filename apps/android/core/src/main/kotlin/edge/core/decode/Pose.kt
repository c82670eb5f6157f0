package edge.core.decode

import edge.core.image.Region

/** Names of the 33 landmarks, in the model's order. */
val LANDMARK_NAMES: List<String> = listOf(
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)

private const val FOUND = 0.5 // least score at which a person counts as found
private const val AXES = 3

/**
 * One person's landmarks, in arrays that a decoder fills.
 *
 * `points` (33 · 3) in picture pixels, z towards the camera negative, on about the scale of x, from the mid-hip;
 * `visibility` and `presence` (33) in 0…1; `world` (33 · 3) in metres from the mid-hip; `mask` (height · width) in 0…1
 * over the whole picture, or null if it was not asked for. `nextRegion` is where to look in the next picture, if the
 * model says it.
 */
class Pose {
    var score = 0.0
        internal set
    val points = DoubleArray(LANDMARK_NAMES.size * AXES)
    val visibility = DoubleArray(LANDMARK_NAMES.size)
    val presence = DoubleArray(LANDMARK_NAMES.size)
    val world = DoubleArray(LANDMARK_NAMES.size * AXES)
    var region: Region? = null
        internal set
    var nextRegion: Region? = null
        internal set
    var mask: FloatArray? = null
        internal set

    /** Whether there is a person. */
    val found: Boolean get() = score >= FOUND

    /** Become the pose of a picture without a person: score 0. */
    fun clear() {
        score = 0.0
        for (array in listOf(points, visibility, presence, world)) array.fill(0.0)
        region = null
        nextRegion = null
        mask = null
    }
}
