package edge.core.image

import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import org.junit.Test

class TimesTest {
    @Test
    fun `each stage has its own median`() {
        val times = Times()
        assertNull(times.medians())
        times.add(5, 100, 1)
        times.add(1, 300, 9)
        times.add(3, 200, 4)
        assertEquals(StageTimes(3, 200, 4), times.medians())
        assertEquals(207, times.medians()?.totalNs)
    }

    @Test
    fun `of an even number the lower middle counts`() {
        val times = Times()
        for (ns in listOf(4L, 1L, 3L, 2L)) times.add(ns, ns, ns)
        assertEquals(StageTimes(2, 2, 2), times.medians())
    }

    @Test
    fun `only the window counts`() {
        val times = Times(3)
        for (ns in 1L..10L) times.add(ns, 2 * ns, 0)
        assertEquals(StageTimes(9, 18, 0), times.medians())
        assertEquals(10, times.count)
        times.reset()
        assertNull(times.medians())
    }

    @Test
    fun `times are not negative`() {
        assertFailsWith<IllegalArgumentException> { Times().add(0, -1, 0) }
        assertFailsWith<IllegalArgumentException> { Times(0) }
    }
}
