package edge.core.files

import java.io.Closeable
import java.util.concurrent.CancellationException
import java.util.concurrent.ExecutionException
import java.util.concurrent.FutureTask
import java.util.concurrent.TimeUnit.MILLISECONDS
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.thread
import kotlin.concurrent.withLock

/** A request to stop that any thread can make, once; nothing waits for a server that says nothing. */
class Cancel {
    private val lock = ReentrantLock()
    private val stopped = lock.newCondition()
    private var running: FutureTask<*>? = null
    private var cancelled = false

    val isCancelled: Boolean get() = lock.withLock { cancelled }

    /** Stop what is under way; returns at once. */
    fun cancel() {
        val stopping = lock.withLock {
            cancelled = true
            stopped.signalAll()
            running
        }
        stopping?.cancel(false)
    }

    /**
     * Run `block` and close `closeable`; raises Trouble as soon as a cancel comes.
     *
     * A read of java.net may hold its connection so that nobody can close it before the server says something. The
     * block therefore has a thread of its own, which a cancel leaves behind: it ends when its connection does.
     */
    internal fun <C : Closeable, T> closing(closeable: C, block: (C) -> T): T {
        val task = FutureTask { closeable.use(block) }
        lock.withLock {
            if (cancelled) throw Trouble(Failure.NETWORK, "cancelled")
            running = task
        }
        thread(isDaemon = true, name = "edge-download") { task.run() }
        try {
            return task.get()
        } catch (_: CancellationException) {
            thread(isDaemon = true, name = "edge-cancel") { closeable.close() }
            throw Trouble(Failure.NETWORK, "cancelled")
        } catch (error: ExecutionException) {
            throw error.cause ?: error
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
