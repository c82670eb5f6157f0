package edge.core.client

import edge.core.policy.Side
import java.util.concurrent.LinkedBlockingQueue

private const val MOST_WAITING = 4 // runs, with the one that computes
private const val JOIN_MS = 5_000L // a run that hangs longer keeps its daemon thread until the process ends

/** What a run returned, and how long it took without waiting; `first` paid for loading and warming up. */
internal class LocalRun<R>(val answer: SideAnswer<R>, val spans: Spans, val durationMs: Double, val first: Boolean)

/** A queued run. */
internal class Job(val run: () -> Unit) {
    var begun = false
    var ended = false
    var abandoned = false
}

/**
 * The device's side: one engine on one thread, whose runs can be abandoned but not interrupted.
 *
 * A call that no longer needs its run leaves it: it is counted, computes to its end, and the next run waits for it. No
 * second thread is started, so that what hangs takes one thread.
 */
internal class Local(val side: OnDevice) {
    @Volatile var supported = true // until its engine says otherwise
        private set

    @Volatile var loaded = false
        private set

    private val guard = Any()
    private val jobs = LinkedBlockingQueue<Job>()
    private val stop = Job {}
    private var waiting = 0
    private var given = 0
    private var thread: Thread? = null
    private var engine: Engine? = null // of the thread

    /** How many runs compute for nobody. */
    val abandoned: Int get() = synchronized(guard) { given }

    /** Queue a run that tells `done` how it went; raises DeviceBusy where too many wait. */
    fun <R> submit(input: Input<R>, done: (Result<LocalRun<R>>) -> Unit): Job {
        val job = Job { done(runCatching { run(input) }) } // of any engine, errors of its native code included
        synchronized(guard) {
            if (waiting >= MOST_WAITING) {
                throw DeviceBusy(
                    "the device still runs $waiting earlier calls, $given of them for nobody; call less often, or " +
                        "give a later deadline",
                )
            }
            waiting++
            thread = thread ?: Thread(::work, "edge-client-device").apply { isDaemon = true }.also { it.start() }
            jobs.add(job)
        }
        return job
    }

    /** Give a run up, and say whether it computes on as it had begun. */
    fun abandon(job: Job): Boolean = synchronized(guard) {
        if (job.ended) return false
        if (!job.begun) {
            end(job)
            jobs.remove(job)
            return false
        }
        job.abandoned = true
        given++
        true
    }

    /** End the thread after the run that it is in. */
    fun close() {
        jobs.add(stop)
        synchronized(guard) { thread }?.join(JOIN_MS)
    }

    private fun end(job: Job) {
        job.ended = true
        waiting--
        if (job.abandoned) given--
    }

    private fun work() {
        while (true) {
            val job = jobs.take()
            if (job === stop) break
            val begins = synchronized(guard) { (!job.ended).also { job.begun = it } }
            if (!begins) continue
            try {
                job.run()
            } finally {
                synchronized(guard) { end(job) }
            }
        }
        (engine as? AutoCloseable)?.close()
    }

    private fun <R> run(input: Input<R>): LocalRun<R> {
        val first = engine == null
        val opened = engine ?: open()
        val began = nowMs()
        val inputs = input.inputs(side.contract)
        val prepared = nowMs()
        val outputs = opened.run(inputs)
        val ran = nowMs()
        val result = input.decode(outputs, side.contract)
        val ended = nowMs()
        val answer = SideAnswer(Side.DEVICE, outputs, result, side.model, "", side.modelSha256)
        val spans = Spans(prepareMs = prepared - began, inferenceMs = ran - prepared, decodeMs = ended - ran)
        return LocalRun(answer, spans, ended - began, first)
    }

    private fun open(): Engine {
        try {
            return side.open().also {
                engine = it
                loaded = true
            }
        } catch (error: EngineUnsupported) {
            supported = false
            throw error
        } catch (error: LinkageError) {
            supported = false
            throw EngineUnsupported("the engine's library does not load on this device: ${error.message}", error)
        }
    }
}
