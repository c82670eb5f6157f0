package edge.core.manifest

/** The schema of manifest.json that this reader knows. */
const val SCHEMA: Long = 1

/** The name of the manifest in an artifact's folder. */
const val MANIFEST: String = "manifest.json"

/** Name one file of an artifact, relative to its folder. */
data class FileEntry(val name: String, val bytes: Long, val sha256: String) {
    init {
        if (!SAFE_NAME.matches(name)) {
            throw ContractError("'${name.take(80)}' is no name of a file inside the artifact's folder")
        }
        if (bytes !in 0..MOST_BYTES) throw ContractError("$name: $bytes bytes; 0 to $MOST_BYTES were expected")
        if (!SHA256.matches(sha256)) {
            throw ContractError("$name: '${sha256.take(80)}' is no SHA-256; 64 lower-case hex digits were expected")
        }
    }
}

/** Record one tool that shaped the artifact. */
data class Step(val tool: String, val version: String, val options: Map<String, Setting> = emptyMap())

/** Say where the weights came from. */
data class Source(val sha256: String, val licence: String = "", val origin: String = "")

enum class Mode(val text: String) {
    NATIVE("native"),
    EMULATED("emulated"),
    REFERENCE("reference"),
    UNVERIFIED("unverified"),
}

/** Compare one output with the eager fp32 model's, over all inputs; `limit` bounds maxAbs / scale. */
data class OutputParity(
    val name: String,
    val maxAbs: Double,
    val psnrDb: Double,
    val cosine: Double,
    val scale: Double,
    val limit: Double,
    val limitPsnrDb: Double? = null,
)

/** Compare what users care about after decoding; `value` must reach `limit`. */
data class TaskParity(val metric: String, val value: Double, val limit: Double)

/** Say whether the artifact computes what the model computes, and how that is known. */
data class Parity(
    val passed: Boolean,
    val mode: Mode,
    val inputs: String,
    val outputs: List<OutputParity> = emptyList(),
    val task: TaskParity? = null,
    val reason: String = "",
)

/** Name operators that the accelerator refused. */
data class Rejected(val op: String, val count: Long, val reason: String = "", val hint: String = "")

/** Count operators and multiply-accumulates by the unit that runs them. */
data class Delegation(
    val ops: Long,
    val byUnit: Map<String, Long>,
    val macs: Long = 0,
    val macsByUnit: Map<String, Long> = emptyMap(),
    val byBackend: Map<String, Long> = emptyMap(),
    val rejected: List<Rejected> = emptyList(),
)

/** State what the device must offer. */
data class Needs(val minRuntime: String, val ramBytes: Long = 0) {
    init {
        if (ramBytes !in 0..MOST_BYTES) {
            throw ContractError("needs.ram_bytes is $ramBytes; 0 to $MOST_BYTES were expected")
        }
    }
}

enum class FallbackPolicy(val text: String) {
    ONLY_ON_DEVICE("only-on-device"),
    PREFER_ON_DEVICE("prefer-on-device"),
    PREFER_SERVER("prefer-server"),
    ONLY_SERVER("only-server"),
}

/** Name the policy that sends work to a server, and the server. */
data class Fallback(val policy: FallbackPolicy = FallbackPolicy.ONLY_ON_DEVICE, val endpoint: String = "")

/** The contract of an artifact with the apps and the server. */
data class Manifest(
    val model: String,
    val task: String,
    val target: String,
    val precision: String,
    val files: List<FileEntry>,
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec>,
    val steps: List<Step>,
    val source: Source,
    val needs: Needs,
    val preprocess: Preprocess? = null,
    val postprocess: Postprocess? = null,
    val labels: List<String> = emptyList(),
    val parity: Parity? = null,
    val delegation: Delegation? = null,
    val estimates: Map<String, Double> = emptyMap(),
    val signature: String = "",
    val fallback: Fallback = Fallback(),
) {
    init {
        val twice = files.groupingBy { it.name }.eachCount().filterValues { it > 1 }.keys
        if (twice.isNotEmpty()) throw ContractError("files are named twice: ${twice.joinToString()}")
        if (files.any { it.name == MANIFEST }) throw ContractError("files name $MANIFEST, which is this file itself")
    }

    /** What the artifact keeps of its model's contract, in the artifact's own layouts. */
    val contract: Contract = Contract(inputs, outputs, task, preprocess, postprocess, labels)

    /** The bytes of all files. */
    val bytes: Long get() = files.sumOf { it.bytes }
}

private const val MOST_BYTES = 1L shl 53
private val SHA256 = Regex("[0-9a-f]{64}")
private val SAFE_NAME = Regex("(?!(.*/)?\\.{1,2}(/.*)?$)[^/\\\\\\x00-\\x1f\\x7f]+(/[^/\\\\\\x00-\\x1f\\x7f]+)*")
