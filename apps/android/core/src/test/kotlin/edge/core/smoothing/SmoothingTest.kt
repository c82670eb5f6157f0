package edge.core.smoothing

import edge.core.decode.Detection
import edge.core.decode.Pose
import kotlin.math.abs
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Test

private const val FRAME_NS = 33_333_333L

class SmoothingTest {
    private fun spread(values: List<Double>) = values.max() - values.min()

    @Test
    fun `jitter at rest is taken away`() {
        val random = Random(1)
        val filter = OneEuro()
        val raw = List(200) { 50 + random.nextDouble(-1.0, 1.0) }
        val smoothed = raw.mapIndexed { step, value -> filter.smooth(value, step * FRAME_NS) }
        assertTrue(spread(smoothed.drop(50)) < 0.5 * spread(raw.drop(50)))
    }

    @Test
    fun `a larger beta lags less`() {
        val (lazy, quick) = OneEuro(OneEuroSettings(beta = 0.0)) to OneEuro(OneEuroSettings(beta = 1.0))
        var lag = 0.0 to 0.0
        for (step in 0 until 60) {
            val value = 10.0 * step
            lag = abs(value - lazy.smooth(value, step * FRAME_NS)) to abs(value - quick.smooth(value, step * FRAME_NS))
        }
        assertTrue(lag.second < 0.2 * lag.first, "$lag")
    }

    @Test
    fun `units do not matter where the scale follows them`() {
        val random = Random(4)
        val settings = OneEuroSettings(0.5, 3.0)
        val (pixels, metres) = OneEuro(settings) to OneEuro(settings)
        repeat(100) {
            val value = random.nextDouble(0.0, 500.0)
            val found = pixels.smooth(value, it * FRAME_NS, scale = 200.0)
            assertEquals(found, 250 * metres.smooth(value / 250, it * FRAME_NS, scale = 0.8), 1e-9)
        }
    }

    @Test
    fun `a point that was hidden begins anew`() {
        val smoother = LandmarkSmoother(1)
        fun at(x: Double, visible: Double, step: Int) =
            doubleArrayOf(x, 0.0, 0.0).also { smoother.smooth(it, doubleArrayOf(visible), step * FRAME_NS, 100.0) }[0]
        at(10.0, 1.0, 0)
        assertEquals(90.0, at(90.0, 0.1, 1))
        assertEquals(50.0, at(50.0, 1.0, 2))
        assertTrue(at(51.0, 1.0, 3) in 50.0..51.0)
        smoother.reset()
        assertEquals(-8.0, at(-8.0, 1.0, 1))
    }

    @Test
    fun `what cannot be meant is told`() {
        assertFailsWith<IllegalArgumentException> { OneEuroSettings(minCutoffHz = 0.0) }
        assertFailsWith<IllegalArgumentException> { OneEuroSettings(speedCutoffHz = Double.NaN) }
        assertFailsWith<IllegalArgumentException> { OneEuroSettings(beta = -1.0) }
        assertFailsWith<IllegalArgumentException> { OneEuro().smooth(1.0, 0, scale = 0.0) }
        assertFailsWith<IllegalArgumentException> {
            LandmarkSmoother(2).smooth(DoubleArray(3), DoubleArray(2), 0, 1.0)
        }
    }

    @Test
    fun `who is lost is looked for by the detector`() {
        val tracker = RegionTracker()
        assertNull(tracker.region)
        val found = Detection(0.9, DoubleArray(4), doubleArrayOf(5.0, 9.0, 5.0, 1.0)).region()
        tracker.begin(found)
        assertEquals(found, tracker.region)
        assertEquals(20.0, found.side)
        assertEquals(0.0, found.rotation)
        assertNull(tracker.follow(Pose())) // nobody is in it
        tracker.begin(found)
        tracker.reset()
        assertNull(tracker.region)
    }
}
