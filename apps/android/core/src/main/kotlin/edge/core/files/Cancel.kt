package edge.core.files

import java.io.Closeable
import java.util.concurrent.TimeUnit.MILLISECONDS
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.thread
import kotlin.concurrent.withLock

/** A request to stop that any thread can make, once; what is under way is closed, so that nothing waits for a server. */
class Cancel {
    private val lock = ReentrantLock()
    private val stopped = lock.newCondition()
    private var running: Closeable? = null
    private var cancelled = false

    val isCancelled: Boolean get() = lock.withLock { cancelled }

    /** Stop what is under way; returns at once, for closing a connection may take a while. */
    fun cancel() {
        val closing = lock.withLock {
            cancelled = true
            stopped.signalAll()
            running
        }
        if (closing != null) thread(isDaemon = true, name = "edge-cancel") { closing.close() }
    }

    /** Run `block`, which a cancel ends by closing `closeable`; raises Trouble where it came before. */
    internal fun <C : Closeable, T> closing(closeable: C, block: (C) -> T): T {
        lock.withLock {
            if (cancelled) throw Trouble(Failure.NETWORK, "cancelled")
            running = closeable
        }
        try {
            return closeable.use(block)
        } finally {
            lock.withLock { running = null }
        }
    }

    /** Wait, but no longer than until a cancel. */
    internal fun sleep(milliseconds: Long) {
        var left = MILLISECONDS.toNanos(milliseconds)
        lock.withLock {
            while (!cancelled && left > 0) left = stopped.awaitNanos(left)
        }
    }
}
