package edge.app.engines

import edge.core.app.Found
import edge.core.app.OpenEngine
import edge.core.app.Runtime
import edge.core.app.Way
import edge.core.app.waysOf
import java.io.File

/** An engine that opened, how, and why the ways before it did not. */
class Opened(val engine: OpenEngine, val way: Way, val passedOver: List<String>)

/** Threads that a model's operators share; phones have about as many fast cores. */
const val THREADS: Int = 4

/** Open an artifact on the first unit that takes it; raises EngineError with every reason where none does. */
fun open(artifact: Found.Ready, units: List<String>, threads: Int = THREADS): Opened {
    val manifest = artifact.manifest
    val reasons = ArrayList<String>()
    for (way in waysOf(manifest.target, units)) {
        try {
            return Opened(open(artifact, way, threads), way, reasons)
        } catch (error: EngineError) {
            reasons.add(error.message.orEmpty())
        } catch (error: UnsatisfiedLinkError) {
            reasons.add("${way.runtime.family}: its library is not in this app (${error.message})")
        }
    }
    val why = reasons.joinToString("; ").ifEmpty { "the app has no engine for ${manifest.target} on ${units.joinToString()}" }
    throw EngineError("${manifest.model} did not open: $why")
}

/** Open an artifact in one way; raises EngineError. */
fun open(artifact: Found.Ready, way: Way, threads: Int): OpenEngine {
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
