package edge.core.bench

import com.sun.management.ThreadMXBean
import edge.core.json.jsonOf
import edge.core.json.write
import java.lang.management.ManagementFactory

/** How much is measured; the system properties bench.warmupMs, bench.batchMs and bench.batches make it less or more. */
private val warmUpMs = Integer.getInteger("bench.warmupMs", 2000)
private val batchMs = Integer.getInteger("bench.batchMs", 20)
private val batches = Integer.getInteger("bench.batches", 100)

private val threads = ManagementFactory.getThreadMXBean() as ThreadMXBean

/**
 * Measure one call of `call` and print a line of JSON: median and p90 of its time over batches, and the bytes that it
 * allocates on this thread.
 *
 * The call is warmed up first; a batch is as many calls as fill some milliseconds, so that reading the clock costs
 * nothing. What `call` computes it should leave in a field or an array, lest the compiler drops it.
 */
fun benchmark(name: String, call: () -> Unit) {
    val calls = warmUp(call)
    val perCallNs = LongArray(batches)
    val before = threads.currentThreadAllocatedBytes
    for (batch in 0 until batches) {
        val begin = System.nanoTime()
        for (n in 0 until calls) call()
        perCallNs[batch] = (System.nanoTime() - begin) / calls
    }
    val allocated = threads.currentThreadAllocatedBytes - before
    perCallNs.sort()
    val line = mapOf(
        "name" to name,
        "median_ns" to perCallNs[batches / 2],
        "p90_ns" to perCallNs[minOf(batches - 1, batches * 9 / 10)],
        "least_ns" to perCallNs[0],
        "allocated_bytes" to maxOf(0, allocated - overheadBytes) / (batches.toLong() * calls),
        "batches" to batches,
        "calls_per_batch" to calls,
        "java" to System.getProperty("java.version"),
        "cores" to Runtime.getRuntime().availableProcessors(),
    )
    println(jsonOf(line).write())
}

/** Call until the compiler has had its time, and return how many calls fill a batch. */
private fun warmUp(call: () -> Unit): Int {
    val begin = System.nanoTime()
    val end = begin + warmUpMs * 1_000_000L
    var calls = 0L
    while (System.nanoTime() < end || calls == 0L) {
        call()
        calls++
    }
    val perCallNs = maxOf(1L, (System.nanoTime() - begin) / calls)
    return (batchMs * 1_000_000L / perCallNs).coerceIn(1, 10_000_000).toInt()
}

/** What asking for the count itself allocates. */
private val overheadBytes: Long = run {
    repeat(1000) { threads.currentThreadAllocatedBytes }
    val before = threads.currentThreadAllocatedBytes
    threads.currentThreadAllocatedBytes - before
}
