package edge.core.image

/**
 * Hand the latest frame from a camera to a model: one slot, never a queue.
 *
 * Three frames are made once and go round: one is being filled, one waits, one is looked at. A frame that a newer one
 * overtakes before it was looked at is dropped and counted, and its memory is filled next. Any threads; at most one
 * fills and one looks at a time. Allocates nothing.
 */
class LatestFrame<T : Any>(make: () -> T) {
    @Suppress("PLATFORM_CLASS_MAPPED_TO_KOTLIN") // wait and notifyAll allocate nothing, and only Object has them
    private val lock = Object()
    private val frames = List(FRAMES) { make() }
    private var filling = NO_FRAME
    private var waiting = NO_FRAME
    private var shown = NO_FRAME
    private var closed = false
    private var dropCount = 0L

    /** How many frames were overtaken before anybody looked at them. */
    val dropped: Long get() = synchronized(lock) { dropCount }

    /** Return a frame to be filled, then `publish` it or `discard` it. */
    fun acquire(): T = synchronized(lock) {
        check(filling == NO_FRAME) { "a frame is being filled already; publish or discard it first" }
        filling = frames.indices.first { it != waiting && it != shown }
        frames[filling]
    }

    /** Make the filled frame the latest one. */
    fun publish() = synchronized(lock) {
        check(filling != NO_FRAME) { "no frame was acquired" }
        if (waiting != NO_FRAME) dropCount++
        waiting = if (closed) NO_FRAME else filling
        filling = NO_FRAME
        lock.notifyAll()
    }

    /** Give a frame back that could not be filled. */
    fun discard() = synchronized(lock) { filling = NO_FRAME }

    /** Return the latest frame, waiting for one at most `timeoutMs`; null after that or when closed. `release` it. */
    fun take(timeoutMs: Long): T? = synchronized(lock) {
        check(shown == NO_FRAME) { "a frame is looked at already; release it first" }
        val until = System.nanoTime() + timeoutMs * NS_PER_MS
        while (waiting == NO_FRAME && !closed) {
            val leftMs = (until - System.nanoTime() + NS_PER_MS - 1) / NS_PER_MS
            if (leftMs <= 0) return null
            lock.wait(leftMs)
        }
        if (waiting == NO_FRAME) return null
        shown = waiting
        waiting = NO_FRAME
        frames[shown]
    }

    /** Let the frame's memory be filled again. */
    fun release() = synchronized(lock) { shown = NO_FRAME }

    /** Wake whoever waits; frames that come later are not kept. */
    fun close() = synchronized(lock) {
        closed = true
        waiting = NO_FRAME
        lock.notifyAll()
    }

    private companion object {
        const val FRAMES = 3
        const val NO_FRAME = -1
        const val NS_PER_MS = 1_000_000L
    }
}
