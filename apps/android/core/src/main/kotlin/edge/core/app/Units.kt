package edge.core.app

import edge.core.backend.Candidate

/** The runtimes that the app can open artifacts with, and the ends of their files' names. */
enum class Runtime(val family: String, val suffix: String) {
    EXECUTORCH("executorch", ".pte"),
    LITERT("litert", ".tflite"),
    ONNX("onnx", ".onnx"),
}

/** One way to run an artifact: a runtime and a unit, `npu`, `gpu` or `cpu`. */
data class Way(val runtime: Runtime, val unit: String)

/**
 * Return the ways to run a target's artifact, in the order of `units`; none where the app has no engine for it.
 *
 * The backend is compiled into ExecuTorch's files and into LiteRT's for NPUs; a plain .tflite runs on GPU and CPU.
 */
fun waysOf(target: String, units: List<String>): List<Way> {
    val (family, rest) = target.substringBefore(':').let { it.substringBefore('-') to it.substringAfter('-', "") }
    val runtime = Runtime.values().firstOrNull { it.family == family } ?: return emptyList()
    val possible = when {
        rest == "xnnpack" -> listOf("cpu")
        rest == "vulkan" -> listOf("gpu")
        runtime == Runtime.LITERT && rest == "cpu" -> listOf("gpu", "cpu")
        rest == "cpu" -> listOf("cpu")
        rest in NOT_ON_ANDROID -> emptyList()
        else -> listOf("npu")
    }
    return units.filter { it in possible }.map { Way(runtime, it) }
}

/** Return artifacts in the order in which `units` wants them tried; what no unit takes comes last, to be refused. */
fun inOrder(candidates: List<Candidate>, units: List<String>): List<Candidate> = candidates.sortedBy { candidate ->
    val unit = waysOf(candidate.manifest.target, units).firstOrNull()?.unit
    if (unit == null) units.size else units.indexOf(unit)
}

private val NOT_ON_ANDROID = setOf("coreml", "openvino", "ethos-u", "")
