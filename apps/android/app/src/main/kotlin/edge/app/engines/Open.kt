package edge.app.engines

import android.os.Build
import edge.core.app.OpenEngine
import edge.core.app.Runtime
import edge.core.app.Way
import edge.core.app.inOrder
import edge.core.app.relaid
import edge.core.app.waysOf
import edge.core.backend.BackendChain
import edge.core.backend.Candidate
import edge.core.backend.CrashLog
import edge.core.backend.Device
import edge.core.backend.NoBackend
import edge.core.backend.NotTaken
import edge.core.backend.Opened
import java.io.File

/** Threads that a model's operators share; phones have about as many fast cores. */
const val THREADS: Int = 4

/** An engine that opened: on which unit, and why what stood before it was not taken. */
class Taken(val engine: OpenEngine, val way: Way, val notTaken: List<NotTaken>)

/**
 * Open the first of a model's artifacts that this phone can run, in the order of `units`; raises NoBackend with every
 * reason.
 *
 * The artifacts fit each other; the engine takes and returns tensors as the first one's contract lays them out.
 * What ends the process is remembered in `crashes`, and left out at the next start.
 */
fun open(artifacts: List<Candidate>, units: List<String>, crashes: File, threads: Int = THREADS): Taken {
    val openers = artifacts.filter { waysOf(it.manifest.target, units).isNotEmpty() }
        .associate { it.target.family to { candidate: Candidate -> openOnAny(candidate, units, threads) } }
    val opened = BackendChain(openers, Device(chips()), CrashLog(crashes)).open(inOrder(artifacts, units))
    val engine = relaid(Watched(opened), artifacts.first().manifest.contract, opened.candidate.manifest.contract)
    return Taken(engine, opened.engine.way, opened.notTaken)
}

/** Open an artifact in one way; raises EngineError. */
fun open(artifact: Candidate, way: Way, threads: Int): OpenEngine {
    val manifest = artifact.manifest
    val entry = manifest.files.singleOrNull { it.name.endsWith(way.runtime.suffix) }
        ?: throw EngineError("${manifest.model} has not one ${way.runtime.suffix} among its files")
    val file = File(artifact.folder, entry.name)
    return when (way.runtime) {
        Runtime.EXECUTORCH -> ExecuTorchEngine(file, manifest, threads)
        Runtime.LITERT -> LiteRtEngine(file, manifest, way.unit, threads)
        Runtime.ONNX -> OrtEngine(file, manifest, way.unit, threads)
    }
}

private class OnUnit(val engine: OpenEngine, val way: Way)

/** Open on the first unit that takes the artifact; raises EngineError with the units' reasons. */
private fun openOnAny(artifact: Candidate, units: List<String>, threads: Int): OnUnit {
    val reasons = ArrayList<String>()
    for (way in waysOf(artifact.manifest.target, units)) {
        try {
            return OnUnit(open(artifact, way, threads), way)
        } catch (error: EngineError) {
            reasons.add(error.message.orEmpty())
        }
    }
    throw EngineError(reasons.joinToString("; "))
}

/** An engine whose first run, once it is over, clears its backend of the suspicion of ending the app. */
private class Watched(private val opened: Opened<OnUnit>) : OpenEngine {
    private var ran = false

    override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
        val outputs = opened.engine.engine.run(inputs)
        if (!ran) opened.works()
        ran = true
        return outputs
    }

    override fun close() = opened.engine.engine.close()
}

private fun chips(): Set<String> =
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) setOf(Build.SOC_MODEL) else emptySet()
