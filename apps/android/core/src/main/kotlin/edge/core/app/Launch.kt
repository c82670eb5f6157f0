package edge.core.app

import edge.core.client.Engine

/** How one artifact is measured: enough runs, for long enough, after a warm-up. */
data class Protocol(
    val minRuns: Int = 30,
    val minSeconds: Double = 1.0,
    val warmupRuns: Int = 50,
    val warmupSeconds: Double = 5.0,
    val threads: Int = 4,
    val seed: Int = 0,
) {
    init {
        require(minRuns > 0 && warmupRuns >= 0 && threads > 0) { "$this: runs and threads are at least 1" }
        require(minSeconds >= 0 && warmupSeconds >= 0) { "$this: seconds are not negative" }
    }
}

/**
 * What one opening of an artifact showed, in nanoseconds.
 *
 * `warmupNs` ended because runs were steady if `steady`, else because it was long enough. `problem` says why it ended
 * early; what had been measured is kept.
 */
data class Launch(
    val coldLoadNs: Long,
    val warmLoadNs: Long?,
    val firstNs: Long,
    val warmupNs: List<Long>,
    val steady: Boolean,
    val runsNs: List<Long>,
    val problem: String = "",
)

/** An engine that holds memory until it is closed. */
interface OpenEngine : Engine, AutoCloseable

/**
 * Measure an artifact: load, first inference, warm-up, runs, and a second load.
 *
 * `inputs` are the model's own, made before. `now` is a monotonic clock in nanoseconds. Stops early, with what it has,
 * once `cancelled` says so. Raises what `open` or the first inference raise: nothing was measured then.
 */
fun measure(
    open: () -> OpenEngine,
    inputs: Map<String, FloatArray>,
    protocol: Protocol,
    now: () -> Long = System::nanoTime,
    cancelled: () -> Boolean = { false },
): Launch {
    val (coldLoadNs, engine) = timed(now, open)
    val first: Long
    val warmup: Timed
    val runs: Timed
    engine.use {
        first = timed(now) { it.run(inputs) }.first
        warmup = repeated(it, inputs, protocol.warmupRuns, protocol.warmupSeconds, now, cancelled, untilSteady = true)
        runs = repeated(it, inputs, protocol.minRuns, protocol.minSeconds, now, cancelled, untilSteady = false)
    }
    val problem = warmup.problem.ifEmpty { runs.problem }
    val warmLoadNs = if (problem.isEmpty()) reopened(open, now) else null
    return Launch(coldLoadNs, warmLoadNs, first, warmup.ns, warmup.steady, runs.ns, problem)
}

private class Timed(val ns: List<Long>, val steady: Boolean, val problem: String)

private fun <T> timed(now: () -> Long, work: () -> T): Pair<Long, T> {
    val began = now()
    val result = work()
    return now() - began to result
}

/** Load once more; a failure here is not the artifact's, whose runs are known. */
private fun reopened(open: () -> OpenEngine, now: () -> Long): Long? = try {
    val (ns, engine) = timed(now, open)
    engine.close()
    ns
} catch (_: Exception) {
    null
}

/**
 * Run at least `runs` times and `seconds` long; a warm-up ends at either, or once it is steady: the medians of its last
 * two windows of ten runs lie within 2 %.
 */
private fun repeated(
    engine: Engine,
    inputs: Map<String, FloatArray>,
    runs: Int,
    seconds: Double,
    now: () -> Long,
    cancelled: () -> Boolean,
    untilSteady: Boolean,
): Timed {
    val ns = ArrayList<Long>()
    var spent = 0L
    val enough = (seconds * 1e9).toLong()
    var problem = ""
    var steady = false
    while (problem.isEmpty() && !steady) {
        val done = if (untilSteady) ns.size >= runs || spent >= enough else ns.size >= runs && spent >= enough
        if (done) break
        if (cancelled()) {
            problem = "cancelled after ${ns.size} runs"
            break
        }
        try {
            ns.add(timed(now) { engine.run(inputs) }.first)
        } catch (error: Exception) {
            problem = error.message ?: error.javaClass.simpleName
            break
        }
        spent += ns.last()
        steady = untilSteady && isSteady(ns)
    }
    return Timed(ns, steady, problem)
}

internal const val WINDOW = 10
private const val STEADY = 0.02

internal fun isSteady(ns: List<Long>): Boolean {
    if (ns.size < 2 * WINDOW) return false
    val before = median(ns.subList(ns.size - 2 * WINDOW, ns.size - WINDOW))
    val after = median(ns.subList(ns.size - WINDOW, ns.size))
    return Math.abs(after - before) <= STEADY * minOf(before, after)
}

private fun median(ns: List<Long>): Double = quantile(ns.map { it.toDouble() }, 0.5)
