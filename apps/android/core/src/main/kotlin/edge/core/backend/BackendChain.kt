package edge.core.backend

import edge.core.manifest.Mode

/** An engine that was opened, and why those before it were not taken. */
class Opened<E : Any> internal constructor(
    val engine: E,
    val candidate: Candidate,
    val notTaken: List<NotTaken>,
    private val crashes: CrashLog,
) {
    /** Say that the engine survived its first inference; until then a crash of the process counts against it. */
    fun works() = crashes.survived()
}

/**
 * Opens the first of several artifacts of one model that this device can run.
 *
 * `openers` holds, by a target's family (`litert-cpu`, `executorch-qnn`), what opens its artifacts: the runtimes that
 * the app has in it. An opener raises an exception where its runtime refuses.
 */
class BackendChain<E : Any>(
    private val openers: Map<String, (Candidate) -> E>,
    private val device: Device,
    private val crashes: CrashLog,
) {
    /**
     * Try the candidates in order, the one named `preferred` first, and return the first that opens.
     *
     * Raises NoBackend with every reason when none does.
     */
    fun open(candidates: List<Candidate>, preferred: String? = null): Opened<E> {
        crashes.begin()
        val notTaken = mutableListOf<NotTaken>()
        val (first, rest) = candidates.partition { it.name == preferred }
        if (preferred != null && first.isEmpty()) notTaken += NotTaken(preferred, "it is not among the artifacts")
        for (candidate in first + rest) {
            val opener = openers[candidate.target.family]
            val reason = obstacle(candidate, opener != null)
            if (reason != null || opener == null) {
                notTaken += NotTaken(candidate.name, reason.orEmpty())
                continue
            }
            crashes.trying(candidate)
            try {
                return Opened(opener(candidate), candidate, notTaken, crashes)
            } catch (error: Exception) {
                notTaken += refused(candidate, error)
            } catch (error: LinkageError) {
                notTaken += refused(candidate, error)
            } catch (error: OutOfMemoryError) {
                notTaken += refused(candidate, error)
            }
        }
        throw NoBackend(notTaken)
    }

    private fun refused(candidate: Candidate, error: Throwable): NotTaken {
        crashes.refused()
        return NotTaken(candidate.name, "${error::class.java.simpleName}: ${error.message ?: "no reason given"}")
    }

    /** Return why a candidate need not be tried, or null. */
    private fun obstacle(candidate: Candidate, hasRuntime: Boolean): String? {
        val target = candidate.target
        val manifest = candidate.manifest
        val parity = manifest.parity
        val free = device.freeRamBytes
        return when {
            !hasRuntime -> "the app has no runtime for ${target.family}"
            target.chip.isNotEmpty() && device.chips.isEmpty() -> "it is for ${target.chip}; this chip is not known"
            target.chip.isNotEmpty() && device.chips.none { it.equals(target.chip, ignoreCase = true) } ->
                "it is for ${target.chip}, not for ${device.chips.joinToString(" or ")}"
            free != null && manifest.needs.ramBytes > free ->
                "it needs ${manifest.needs.ramBytes} bytes of memory, $free are free"
            parity != null && !parity.passed && parity.mode != Mode.UNVERIFIED ->
                "it does not compute what the model computes: ${parity.reason.ifEmpty { "parity failed" }}"
            else -> crashes.objection(candidate)
        }
    }
}
