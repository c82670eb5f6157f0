package edge.core.client

import edge.core.manifest.Contract

/** Runs one model on this device; it is opened and used on one thread, and closed there if it is AutoCloseable. */
fun interface Engine {
    /** Return the outputs (row-major, by name) of inputs (row-major, by name). */
    fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray>
}

/** A model's measured figures on this device, as a profile.json has them; null for what was not measured. */
data class Profiled(
    val p90Ms: Double? = null,
    val sustainedRatio: Double? = null,
    val peakBytes: Long? = null, // above what the process took before it loaded the model
)

/**
 * The device's side of a model.
 *
 * `open` is called by the first run, on the engine's thread; EngineUnsupported says that it never will open here.
 * `isPresent` says whether the artifact's files are on the device, complete.
 */
class OnDevice(
    val contract: Contract,
    val model: String,
    val modelSha256: String,
    val profiled: Profiled = Profiled(),
    val isPresent: () -> Boolean = { true },
    val open: () -> Engine,
)
