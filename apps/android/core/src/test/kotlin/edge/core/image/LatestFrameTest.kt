package edge.core.image

import java.util.concurrent.atomic.AtomicReference
import kotlin.concurrent.thread
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotSame
import kotlin.test.assertNull
import kotlin.test.assertSame
import kotlin.test.assertTrue
import org.junit.Test

private class Numbered {
    val values = LongArray(256)

    fun fill(number: Long) = values.fill(number)
}

class LatestFrameTest {
    private val slot = LatestFrame { Numbered() }

    private fun publish(number: Long) {
        slot.acquire().fill(number)
        slot.publish()
    }

    private fun look(timeoutMs: Long = 0): Long? {
        val frame = slot.take(timeoutMs) ?: return null
        return frame.values[0].also { slot.release() }
    }

    @Test
    fun `only the latest frame is looked at`() {
        for (number in 1L..5L) publish(number)
        assertEquals(5, look())
        assertNull(look())
        assertEquals(4, slot.dropped)
    }

    @Test
    fun `a frame that is looked at is not filled`() {
        publish(1)
        val shown = slot.take(0)
        for (number in 2L..9L) {
            val filled = slot.acquire()
            assertNotSame(shown, filled)
            filled.fill(number)
            slot.publish()
        }
        assertEquals(1, shown?.values?.get(0))
        slot.release()
        assertEquals(9, look())
        assertEquals(7, slot.dropped)
    }

    @Test
    fun `a frame that could not be filled is not shown`() {
        publish(1)
        slot.acquire()
        slot.discard()
        assertEquals(1, look())
        assertEquals(0, slot.dropped)
    }

    @Test
    fun `memory goes round`() {
        val seen = HashSet<Numbered>()
        repeat(50) {
            seen.add(slot.acquire())
            slot.publish()
            slot.take(0)
            slot.release()
        }
        assertTrue(seen.size <= 3)
    }

    @Test
    fun `taking waits no longer than it is told`() {
        val begin = System.nanoTime()
        assertNull(slot.take(30))
        assertTrue(System.nanoTime() - begin >= 30_000_000)
    }

    @Test
    fun `misuse is told`() {
        assertFailsWith<IllegalStateException> { slot.publish() }
        slot.acquire()
        assertFailsWith<IllegalStateException> { slot.acquire() }
        slot.publish()
        slot.take(0)
        assertFailsWith<IllegalStateException> { slot.take(0) }
    }

    @Test
    fun `closing wakes who waits and keeps nothing`() {
        val waiting = thread { slot.take(60_000) }
        Thread.sleep(20)
        slot.close()
        waiting.join(5_000)
        assertEquals(false, waiting.isAlive)
        publish(1)
        assertNull(look())
    }

    @Test
    fun `a fast camera and a slow model never meet in one frame`() {
        val frames = 50_000L
        val failure = AtomicReference<String>()
        var looked = 0L
        var last = 0L
        val camera = thread { for (number in 1..frames) publish(number) }
        while (last < frames) {
            val frame = slot.take(60_000) ?: break
            val first = frame.values[0]
            if (frame.values.any { it != first }) failure.set("frame $first was written while it was looked at")
            if (first <= last) failure.set("frame $first came after $last")
            last = first
            looked++
            slot.release()
        }
        camera.join()
        assertNull(failure.get())
        assertEquals(frames, last)
        assertEquals(frames, looked + slot.dropped)
        assertSame(null, slot.take(0))
    }
}
