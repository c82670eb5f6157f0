package edge.core.app

import edge.core.decode.LANDMARK_NAMES
import edge.core.decode.Pose
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import org.junit.Test

/** Keeps what was drawn instead of drawing it. */
private class Recorder : Pen {
    val lines = ArrayList<FloatArray>()
    val discs = ArrayList<FloatArray>()
    val colours = HashSet<Int>()

    override fun line(x0: Float, y0: Float, x1: Float, y1: Float, width: Float, argb: Int) {
        lines.add(floatArrayOf(x0, y0, x1, y1, width))
        colours.add(argb)
    }

    override fun disc(x: Float, y: Float, radius: Float, argb: Int) {
        discs.add(floatArrayOf(x, y, radius))
        colours.add(argb)
    }
}

class OverlayTest {
    private fun pose(visible: (String) -> Boolean) = Pose().apply {
        score = 0.9
        LANDMARK_NAMES.forEachIndexed { index, name ->
            points[index * 3] = 10.0 * index
            points[index * 3 + 1] = 5.0 * index
            visibility[index] = if (visible(name)) 0.9 else 0.1
        }
    }

    private val whole = Placement(1f, 0f, 0f, 400)

    @Test
    fun everyVisibleBoneHasARimBelowItAndEveryPointADisc() {
        val pen = Recorder()
        drawPose(pen, pose { true }, whole, 400, 300)
        assertEquals(2 * 35, pen.lines.size)
        assertEquals(2 * LANDMARK_NAMES.size, pen.discs.size)
        val (rims, bones) = pen.lines.take(35) to pen.lines.drop(35)
        for ((rim, bone) in rims.zip(bones)) assertTrue(rim[4] > bone[4], "a rim is wider than its bone")
        assertEquals(4, pen.colours.size)
    }

    @Test
    fun whatIsNotSeenIsNotDrawn() {
        val pen = Recorder()
        drawPose(pen, pose { "shoulder" in it }, whole, 400, 300)
        assertEquals(2, pen.lines.size)
        assertEquals(4, pen.discs.size)
        val empty = Recorder()
        drawPose(empty, Pose(), whole, 400, 300)
        assertEquals(0, empty.lines.size + empty.discs.size)
    }

    @Test
    fun placementScalesMovesAndMirrors() {
        val place = fitted(400, 300, 800, 800)
        assertEquals(Placement(2f, 0f, 100f, 400), place)
        assertEquals(20f, place.x(10.0))
        assertEquals(120f, place.y(10.0))
        assertEquals(780f, fitted(400, 300, 800, 800, mirrored = true).x(10.0))
        assertFailsWith<IllegalArgumentException> { fitted(0, 300, 800, 800) }
        val pen = Recorder()
        drawPose(pen, pose { true }, place, 400, 300)
        val once = Recorder()
        drawPose(once, pose { true }, whole, 400, 300)
        for ((twice, plain) in pen.lines.zip(once.lines)) {
            assertEquals(2 * plain[0], twice[0], 1e-3f)
            assertEquals(2 * plain[1] + 100, twice[1], 1e-3f)
            assertEquals(2 * plain[4], twice[4], 1e-3f)
        }
    }
}
