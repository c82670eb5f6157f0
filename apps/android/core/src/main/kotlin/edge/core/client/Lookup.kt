package edge.core.client

import java.io.Closeable
import java.net.InetAddress
import java.net.UnknownHostException
import java.util.concurrent.CancellationException
import java.util.concurrent.ExecutionException
import java.util.concurrent.FutureTask
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.ThreadPoolExecutor
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException

private const val THREADS = 2 // a look-up cannot be interrupted
private const val KEEP_S = 10L
private val LITERAL = Regex("[0-9.]+|.*:.*")

/** Look-ups of names on threads of their own: one that hangs keeps neither the call nor its deadline. */
internal class Lookup {
    private val threads = ThreadPoolExecutor(
        THREADS, THREADS, KEEP_S, TimeUnit.SECONDS, LinkedBlockingQueue(),
    ) { work -> Thread(work, "edge-client-lookup").apply { isDaemon = true } }.apply { allowCoreThreadTimeOut(true) }

    /** Return a host's addresses within `limitMs`; raises UnknownHostException, or Aborted. */
    fun addresses(host: String, abort: Abort, limitMs: Double): List<InetAddress> {
        if (LITERAL.matches(host)) return listOf(InetAddress.getByName(host))
        val task = FutureTask { InetAddress.getAllByName(host).toList() }
        val leave = Closeable { task.cancel(false) }
        abort.watch(leave)
        try {
            threads.execute(task)
            return task.get(limitMs.toLong().coerceAtLeast(1), TimeUnit.MILLISECONDS)
        } catch (_: TimeoutException) {
            task.cancel(false)
            throw UnknownHostException("the name was not found in time")
        } catch (error: ExecutionException) {
            throw UnknownHostException(error.cause?.message ?: "no such name")
        } catch (_: CancellationException) {
            throw Aborted()
        } finally {
            abort.release(leave)
        }
    }

    /** End the threads after what they look up. */
    fun close() {
        threads.shutdownNow()
    }
}
