package edge.core.app

import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/**
 * Hold the newest item and nothing else, between one producer and one consumer: what was not taken in time is dropped,
 * so that a slow consumer always sees the present and never a queue of the past.
 *
 * `dispose` is called with every item that is dropped, on the thread that dropped it.
 */
class LatestSlot<T : Any>(private val dispose: (T) -> Unit = {}) {
    private val lock = ReentrantLock()
    private val filled = lock.newCondition()
    private var item: T? = null
    private var closed = false

    /** How many items were replaced before anybody took them. */
    var dropped: Long = 0
        private set

    /** Put an item in the place of the one that is there; after `close` it is dropped. */
    fun put(newest: T) {
        val old = lock.withLock {
            if (closed) return@withLock newest
            val replaced = item
            if (replaced != null) dropped++
            item = newest
            filled.signal()
            replaced
        }
        old?.let(dispose)
    }

    /** Wait for an item and take it; null once the slot is closed. */
    fun take(): T? = lock.withLock {
        while (item == null && !closed) filled.await()
        item.also { item = null }
    }

    /** Wake up the consumer for good and drop what is there. */
    fun close() {
        val old = lock.withLock {
            closed = true
            filled.signalAll()
            item.also { item = null }
        }
        old?.let(dispose)
    }
}
