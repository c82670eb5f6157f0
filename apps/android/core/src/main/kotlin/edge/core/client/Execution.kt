package edge.core.client

import edge.core.oip.DeadlinePassed
import edge.core.policy.Decision
import edge.core.policy.Reason
import edge.core.policy.Side
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit

/** How a side's task ended. */
internal sealed interface Ended<out R> {
    class Answered<R>(val answer: SideAnswer<R>) : Ended<R>

    class Failed(val error: Throwable) : Ended<Nothing>

    data object Cancelled : Ended<Nothing>
}

/** One side at work for one call; it tells the execution once how it ended. */
internal interface SideTask {
    val isDone: Boolean

    /** When its time is over, in milliseconds of `nowMs`; null for never. */
    val expiresAt: Double?

    fun start()

    /** End it as timed out, if it has not ended. */
    fun expire()

    /** End it, if it has not ended; a request's connection is closed when this returns. */
    fun cancel()
}

/**
 * A decision that is carried out on the caller's thread; times in milliseconds of `nowMs`.
 *
 * The side that was decided on begins; its hedge and its fallback follow as docs/client.md says; the first answer
 * counts.
 */
internal class Execution<R>(val decision: Decision, private val deadlineMs: Double?, val began: Double) {
    val decided = nowMs()

    /** When the call fails; null without a deadline. */
    val ends: Double? = deadlineMs?.let { decided + it }

    private val events = LinkedBlockingQueue<Pair<Side, Ended<R>>>()
    private val running = HashSet<Side>() // of the caller's thread
    private val tasks = HashMap<Side, SideTask>() // guarded by itself
    private val recorded = ArrayList<Attempt>() // guarded by itself
    private val errors = ArrayList<Throwable>()

    /** Return what was tried so far, in the order in which it began. */
    val attempts: List<Attempt> get() = synchronized(recorded) { recorded.sortedBy { it.beganMs } }

    /** Return the first answer of any side; raises CallFailed or DeadlineMissed, and leaves nothing running. */
    fun run(start: (Side) -> SideTask): SideAnswer<R> {
        val ending = try {
            decision.runOn?.let { begin(it, start) }
            generateSequence { step(start) ?: Going }.first { it !is Going }
        } finally {
            for (task in synchronized(tasks) { tasks.values.toList() }) task.cancel()
        }
        @Suppress("UNCHECKED_CAST")
        return when (ending) {
            is Ended.Answered<*> -> ending.answer as SideAnswer<R>
            is Missed -> throw missed()
            else -> throw failure()
        }
    }

    /** Tell how a side ended; from any thread. */
    fun ended(side: Side, how: Ended<R>) {
        events.add(side to how)
    }

    fun record(attempt: Attempt) {
        synchronized(recorded) { recorded.add(attempt) }
    }

    /** Cancel the request that is on its way, if there is one; from any thread. */
    fun cancelServer() {
        synchronized(tasks) { tasks[Side.SERVER] }?.cancel()
    }

    /** Say whether the device can still answer this call. */
    fun deviceIsOpen(): Boolean {
        val task = synchronized(tasks) { tasks[Side.DEVICE] }
        return if (task != null) !task.isDone else decision.fallback == Side.DEVICE
    }

    private object Going

    private object Missed

    private object Exhausted

    /** Wait for the next thing to happen, and return how the call ends if that was its end. */
    private fun step(start: (Side) -> SideTask): Any? {
        if (running.isEmpty()) return Exhausted
        val event = next()
        if (event != null) {
            running.remove(event.first)
            when (val how = event.second) {
                is Ended.Answered -> return how
                is Ended.Failed -> errors.add(how.error)
                is Ended.Cancelled -> errors.add(
                    Blocked(Reason.CONSENT_DENIED, "consent was withdrawn while the request was on its way"),
                )
            }
        }
        val now = nowMs()
        expire(now)
        if (ends != null && now >= ends) return Missed
        val hedge = hedgeAt()
        val fallback = decision.fallback
        val due = event != null || (hedge != null && now >= hedge)
        if (fallback != null && !has(fallback) && due) begin(fallback, start)
        return null
    }

    /** Return the next event, null when the next moment has come first. */
    private fun next(): Pair<Side, Ended<R>>? {
        val moments = listOfNotNull(ends, hedgeAt()) + runningTasks().mapNotNull { it.expiresAt }
        val next = moments.minOrNull() ?: return events.take()
        val leftNs = ((next - nowMs()) * 1e6).toLong()
        return events.poll(leftNs.coerceAtLeast(0), TimeUnit.NANOSECONDS)
    }

    private fun expire(now: Double) {
        for (task in runningTasks()) if (task.expiresAt?.let { now >= it } == true) task.expire()
    }

    private fun runningTasks(): List<SideTask> =
        synchronized(tasks) { tasks.filterKeys { it in running }.values.filter { !it.isDone } }

    private fun begin(side: Side, start: (Side) -> SideTask) {
        val task = start(side)
        synchronized(tasks) { tasks[side] = task }
        running.add(side)
        task.start()
    }

    private fun has(side: Side): Boolean = synchronized(tasks) { side in tasks }

    private fun hedgeAt(): Double? = decision.hedgeAfterMs?.let { if (has(Side.DEVICE)) null else decided + it }

    private fun failure(): Exception {
        val last = errors.lastOrNull()
        if (last is DeadlinePassed) return missed()
        val tried = attempts.joinToString("; ") { "${it.side}: ${it.error.ifEmpty { it.outcome.code }}" }
        return CallFailed("no side answered: $tried", decision, attempts, last)
    }

    private fun missed(): DeadlineMissed {
        val limit = deadlineMs ?: decision.timeoutMs ?: 0.0
        val tried = synchronized(tasks) { tasks.keys.joinToString(" and ") }.ifEmpty { "no side" }
        val message = "no answer within ${Math.round(limit)} ms; tried: $tried"
        return DeadlineMissed(message, decision, attempts, errors.lastOrNull())
    }
}
