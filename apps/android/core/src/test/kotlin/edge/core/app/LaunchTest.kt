package edge.core.app

import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Test

private const val MS = 1_000_000L

/** An engine whose every run takes what it is told on a clock that only it moves. */
private class Clocked(private val runNs: (Int) -> Long, private val loadNs: Long = 7 * MS) {
    var now = 0L
    var runs = 0
    var open = 0

    fun open(): OpenEngine {
        now += loadNs
        open++
        return object : OpenEngine {
            override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
                now += runNs(runs++)
                return inputs
            }

            override fun close() {
                open--
            }
        }
    }
}

class LaunchTest {
    private val protocol = Protocol(minRuns = 30, minSeconds = 0.1, warmupRuns = 50, warmupSeconds = 5.0)

    @Test
    fun aSteadyModelIsMeasuredAfterTwentyRunsOfWarmup() {
        val clock = Clocked({ if (it == 0) 50 * MS else 10 * MS })
        val launch = measure(clock::open, emptyMap(), protocol, { clock.now })
        assertEquals(7 * MS, launch.coldLoadNs)
        assertEquals(7 * MS, launch.warmLoadNs)
        assertEquals(50 * MS, launch.firstNs)
        assertEquals(20, launch.warmupNs.size)
        assertTrue(launch.steady)
        assertEquals(List(30) { 10 * MS }, launch.runsNs)
        assertEquals(0, clock.open)
    }

    @Test
    fun aFastModelRunsForTheLeastTimeAndOneThatNeverSettlesForTheLongestWarmup() {
        val fast = Clocked({ MS / 10 })
        assertTrue(measure(fast::open, emptyMap(), protocol, { fast.now }).runsNs.size >= 1000)
        val wild = Clocked({ (100 + it) * MS / 10 }) // slower and slower
        val launch = measure(wild::open, emptyMap(), protocol, { wild.now })
        assertFalse(launch.steady)
        assertEquals(50, launch.warmupNs.size)
    }

    @Test
    fun whatWasMeasuredBeforeAFailureOrTheUsersStopIsKept() {
        val failing = Clocked({ if (it == 40) throw IllegalStateException("hot") else 10 * MS })
        val launch = measure(failing::open, emptyMap(), protocol, { failing.now })
        assertEquals("hot", launch.problem)
        assertEquals(19, launch.runsNs.size)
        assertNull(launch.warmLoadNs)
        assertEquals(0, failing.open)
        val stopped = Clocked({ 10 * MS })
        val short = measure(stopped::open, emptyMap(), protocol, { stopped.now }, { stopped.runs > 25 })
        assertEquals("cancelled after 5 runs", short.problem)
        assertEquals(5, short.runsNs.size)
    }

    @Test
    fun aModelThatDoesNotRunAtAllHasNoLaunch() {
        val dead = Clocked({ throw IllegalStateException("dead") })
        assertFailsWith<IllegalStateException> { measure(dead::open, emptyMap(), protocol, { dead.now }) }
        assertEquals(0, dead.open)
        assertFailsWith<IllegalArgumentException> { Protocol(minRuns = 0) }
    }

    @Test
    fun quantilesLieBetweenNeighbours() {
        assertEquals(2.5, quantile(listOf(4.0, 1.0, 2.0, 3.0), 0.5))
        assertEquals(3.7, quantile(listOf(4.0, 1.0, 2.0, 3.0), 0.9), 1e-12)
        assertEquals(1.0, quantile(listOf(1.0), 0.99))
        assertFailsWith<IllegalArgumentException> { quantile(emptyList(), 0.5) }
        assertFailsWith<IllegalArgumentException> { quantile(listOf(1.0), 1.5) }
    }
}
