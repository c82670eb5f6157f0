package edge.core.client

import edge.core.policy.Call
import edge.core.policy.Side
import edge.core.policy.Thermal
import edge.core.policy.isHot

/** One run of the engine for one call; what a cancelled call leaves behind computes to its end. */
internal class DeviceTask<R>(
    private val local: Local,
    private val estimates: DeviceEstimates,
    private val input: Input<R>,
    private val call: Call,
    private val execution: Execution<R>,
    private val clock: Clock,
) : SideTask {
    private var job: Job? = null
    private var began = 0.0

    @Volatile override var isDone = false
        private set

    override val expiresAt: Double? get() = null

    override fun start() {
        began = nowMs()
        try {
            job = local.submit(input, ::returned)
        } catch (error: DeviceBusy) {
            end(Outcome.FAILED, Ended.Failed(error), Spans(), said(error))
        }
    }

    override fun expire() = Unit // only the call's deadline ends a run, by cancelling it

    override fun cancel() {
        if (isDone) return
        val goesOn = job?.let(local::abandon) == true
        end(if (goesOn) Outcome.ABANDONED else Outcome.CANCELLED, Ended.Cancelled, Spans(), "")
    }

    private fun returned(found: Result<LocalRun<R>>) {
        val run = found.getOrElse {
            end(Outcome.FAILED, Ended.Failed(it), Spans(), said(it))
            return
        }
        if (!run.first) estimates.observe(run.durationMs, clock(), isCool(call))
        end(Outcome.ANSWERED, Ended.Answered(run.answer), run.spans, "")
    }

    private fun end(outcome: Outcome, how: Ended<R>, spans: Spans, error: String) {
        synchronized(this) {
            if (isDone) return
            isDone = true
        }
        val times = began - execution.began to nowMs() - execution.began
        execution.record(Attempt(Side.DEVICE, outcome, times.first, times.second, spans, error))
        execution.ended(Side.DEVICE, how)
    }
}

private fun isCool(call: Call): Boolean = !isHot(call) && call.device.thermal != Thermal.MODERATE

/** Return the first line of what an error says. */
internal fun said(error: Throwable): String =
    error.message?.trim()?.substringBefore('\n')?.ifEmpty { null } ?: error.javaClass.simpleName
