package edge.core.client

import java.io.Closeable

/** Raised in a request that was ended from outside. */
internal class Aborted : Exception("the request was ended")

/**
 * Ends a request from any thread: what it has open is closed at once, and nothing can be opened after that.
 *
 * Once `abort` has returned, no connection of the request is open and none will be.
 */
internal class Abort {
    private val watched = ArrayList<Closeable>()
    private var ended = false

    val isAborted: Boolean @Synchronized get() = ended

    /** Close what is watched; later calls change nothing. */
    fun abort() {
        val open = synchronized(this) {
            ended = true
            watched.toList().also { watched.clear() }
        }
        for (one in open) one.close()
    }

    /** Watch something that is to be closed; raises Aborted, having closed it, after the end. */
    fun watch(one: Closeable) {
        val late = synchronized(this) {
            if (!ended) watched.add(one)
            ended
        }
        if (late) {
            one.close()
            throw Aborted()
        }
    }

    /** Watch it no longer. */
    @Synchronized
    fun release(one: Closeable) {
        watched.remove(one)
    }

    /** Raise Aborted after the end. */
    fun check() {
        if (isAborted) throw Aborted()
    }
}
