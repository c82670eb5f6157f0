package edge.core.client

import edge.core.oip.AnswerError
import edge.core.oip.Busy
import edge.core.oip.DeadlinePassed
import edge.core.oip.RequestError
import edge.core.oip.ServeError
import edge.core.oip.TooManyRequests
import edge.core.policy.Call
import edge.core.policy.Reason
import edge.core.policy.SERVER_TIMEOUT_MS
import edge.core.policy.Side
import java.util.concurrent.Executor
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/**
 * The server asked for one call, and once more where nothing else can answer and the budget and the time allow it.
 *
 * Whoever ends it first, the request's thread, the deadline or a withdrawn consent, records how; the others change
 * nothing. `closedGate` names a gate that closed since the decision, null if none did.
 */
internal class ServerTask<R>(
    private val remote: Remote,
    private val input: Input<R>,
    private val call: Call,
    private val execution: Execution<R>,
    private val threads: Executor,
    private val random: () -> Double,
    private val closedGate: () -> Reason?,
) : SideTask {
    /** One request, or the attempt to make one. */
    private class Try(val leftMs: Double) {
        val began = nowMs()
        val trip = Trip()
        val abort = Abort()
        var admission: Admission? = null
    }

    private val guard = ReentrantLock()
    private val finishes = guard.newCondition()
    private var current: Try? = null // unsettled; guarded
    private var finished = false // guarded

    override val isDone: Boolean get() = guard.withLock { finished }

    override val expiresAt: Double = serverEnds(execution)

    override fun start() {
        remote.budget.earn()
        threads.execute(::work)
    }

    override fun expire() {
        guard.withLock {
            if (finished) return
            val attempt = current
            val left = attempt?.let { Math.round(it.leftMs) } ?: 0
            val error = DeadlinePassed("the server did not answer within $left ms")
            val health = if (attempt?.trip?.tried == true) Health.FAILED else Health.UNDECIDED
            attempt?.let { settle(it, Outcome.TIMED_OUT, error, health) }
            finish(Ended.Failed(error))
            attempt?.abort?.abort()
        }
    }

    override fun cancel() {
        guard.withLock {
            if (finished) return
            val attempt = current
            attempt?.let { settle(it, Outcome.CANCELLED, null, Health.UNDECIDED) }
            finish(Ended.Cancelled)
            attempt?.abort?.abort()
        }
    }

    private fun work() {
        try {
            var error = ask() ?: return
            val delayMs = retryDelay(error)
            if (delayMs != null) {
                pause(delayMs)
                error = ask() ?: return
            }
            guard.withLock { finish(Ended.Failed(error)) }
        } catch (error: Throwable) { // nothing that happens here may leave the caller waiting
            guard.withLock { finish(Ended.Failed(error)) }
        }
    }

    /** Ask once, and return the error, null where the task has ended. */
    private fun ask(): Throwable? {
        val attempt = Try(expiresAt - nowMs())
        guard.withLock {
            if (finished) return null
            current = attempt
        }
        try {
            guard.withLock {
                if (finished) return null
                attempt.admission = admit()
            }
            val answer = within(attempt)
            guard.withLock {
                if (finished) return null
                settle(attempt, Outcome.ANSWERED, null, Health.SUCCEEDED)
                finish(Ended.Answered(answer))
            }
            return null
        } catch (error: Throwable) { // of the app's encoder and decoder too
            guard.withLock {
                if (finished) return null
                settle(attempt, outcome(error), error, if (attempt.trip.tried) health(error) else Health.UNDECIDED)
            }
            when (error) {
                is Busy -> remote.announced(error.retryAfterS)
                is TooManyRequests -> remote.announced(error.retryAfterS)
            }
            return error
        }
    }

    private fun within(attempt: Try): SideAnswer<R> {
        if (attempt.leftMs <= 0) throw DeadlinePassed("no time was left to ask the server")
        val cap = if (call.network.metered == false) null else call.meteredCapBytes
        val connectMs = connectLimitMs(attempt.leftMs, execution.deviceIsOpen())
        return remote.infer(input, attempt.trip, attempt.abort, attempt.leftMs, connectMs, cap)
    }

    private fun admit(): Admission {
        closedGate()?.let { throw Blocked(it, "nothing was sent: $it") }
        return remote.breaker.admit() ?: throw Blocked(
            Reason.BREAKER_OPEN,
            "${remote.endpoint.url} failed too often and is left alone for a while",
        )
    }

    /** Record how the current try went; with the guard held. */
    private fun settle(attempt: Try, outcome: Outcome, error: Throwable?, health: Health) {
        current = null
        val admission = attempt.admission
        val trip = attempt.trip
        if (admission != null && (health == Health.UNDECIDED || trip.wire.head == null)) remote.givenUp(trip)
        admission?.settle(health)
        execution.record(
            Attempt(
                side = Side.SERVER,
                outcome = outcome,
                beganMs = attempt.began - execution.began,
                endedMs = nowMs() - execution.began,
                spans = trip.spans(),
                error = error?.let(::said) ?: "",
                sent = trip.sent,
                payloadBytes = trip.payloadBytes,
            ),
        )
    }

    /** Tell the execution, once; with the guard held. */
    private fun finish(how: Ended<R>) {
        if (finished) return
        finished = true
        finishes.signalAll()
        execution.ended(Side.SERVER, how)
    }

    /** Return how long to wait before a retry, null for none: the device takes over for nothing where it can. */
    private fun retryDelay(error: Throwable): Double? {
        if ((error !is Unreachable && error !is Busy) || execution.deviceIsOpen()) return null
        val named = (error as? Busy)?.retryAfterS?.takeIf { it > 0 }
        val delayMs = retryDelayMs(named, random)
        val inTime = leavesTime(delayMs, execution.decision.serverMs, expiresAt - nowMs())
        return if (inTime && remote.budget.spend()) delayMs else null
    }

    private fun pause(ms: Double) {
        val until = nowMs() + ms
        guard.withLock {
            while (!finished) {
                val left = until - nowMs()
                if (left <= 0) return
                finishes.awaitNanos((left * 1e6).toLong() + 1)
            }
        }
    }
}

/** Return when the server's time is over, in milliseconds of `nowMs`. */
private fun serverEnds(execution: Execution<*>): Double {
    val decision = execution.decision
    if (decision.runOn != Side.SERVER) return execution.ends ?: (nowMs() + SERVER_TIMEOUT_MS)
    val deadlineMs = execution.ends?.let { it - execution.decided }
    return execution.decided + (serverLimitMs(decision, deadlineMs) ?: SERVER_TIMEOUT_MS)
}

private fun outcome(error: Throwable): Outcome = when (error) {
    is Blocked -> Outcome.NOT_SENT
    is DeadlinePassed -> Outcome.TIMED_OUT
    else -> Outcome.FAILED
}

/** Return what an error says about the server's health: a refusal of this request is a sign of life. */
private fun health(error: Throwable): Health = when (error) {
    is TooManyRequests -> Health.UNDECIDED
    is Unreachable, is AnswerError -> Health.FAILED
    is RequestError -> Health.SUCCEEDED
    is ServeError -> Health.FAILED
    else -> Health.UNDECIDED
}
