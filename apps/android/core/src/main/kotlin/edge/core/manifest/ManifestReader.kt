package edge.core.manifest

import edge.core.json.JsonError
import edge.core.json.JsonReader
import edge.core.json.parseJson
import edge.core.json.required
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException

/** Report a manifest that cannot be used. */
sealed class ManifestError(message: String, cause: Throwable? = null) : Exception(message, cause)

/** Report text that is not a manifest of this schema. */
class InvalidManifest(message: String, cause: Throwable? = null) : ManifestError(message, cause)

/** Report a manifest that a newer kit wrote; the app has to be updated. */
class NewerSchema(val schema: Long) :
    ManifestError("the manifest is of schema $schema, this app reads $SCHEMA; update the app, or use an older kit")

/** Read the bytes of a manifest.json; raises ManifestError. */
fun readManifest(bytes: ByteArray): Manifest {
    val text = try {
        Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString()
    } catch (error: CharacterCodingException) {
        throw InvalidManifest("the manifest is not UTF-8; deploy it again with `edge deploy`", error)
    }
    return readManifest(text)
}

/** Read the text of a manifest.json; raises ManifestError. */
fun readManifest(text: String): Manifest = try {
    val root = JsonReader(parseJson(text))
    checkSchema(root)
    root.manifest()
} catch (error: JsonError) {
    throw invalid(error)
} catch (error: ContractError) {
    throw invalid(error)
}

private fun invalid(error: Exception) =
    InvalidManifest("not a manifest of schema $SCHEMA: ${error.message}; deploy it again with `edge deploy`", error)

/** A newer schema is told before anything else of the manifest is looked at: its keys may all be strange. */
private fun checkSchema(root: JsonReader) {
    val schema = root.members()["schema"] ?: return
    val found = schema.long()
    if (found > SCHEMA) throw NewerSchema(found)
    if (found != SCHEMA) schema.fail("$found is not $SCHEMA")
}

private val MANIFEST_KEYS = setOf(
    "schema", "model", "task", "target", "precision", "files", "inputs", "outputs", "steps", "source", "needs",
    "preprocess", "postprocess", "labels", "parity", "delegation", "estimates", "signature", "fallback",
)

private fun JsonReader.manifest(): Manifest {
    val found = members(MANIFEST_KEYS)
    return Manifest(
        model = found.required("model").string(),
        task = found.required("task").string(),
        target = found.required("target").string(),
        precision = found.required("precision").string(),
        files = found.required("files").list { fileEntry() },
        inputs = found.required("inputs").list { tensorSpec() },
        outputs = found.required("outputs").list { tensorSpec() },
        steps = found.required("steps").list { step() },
        source = found.required("source").source(),
        needs = found.required("needs").needs(),
        preprocess = found["preprocess"]?.orNull { preprocess() },
        postprocess = found["postprocess"]?.orNull { postprocess() },
        labels = found["labels"]?.list { string() }.orEmpty(),
        parity = found["parity"]?.orNull { parity() },
        delegation = found["delegation"]?.orNull { delegation() },
        estimates = found["estimates"]?.map { double() }.orEmpty(),
        signature = found["signature"].stringOrEmpty(),
        fallback = found["fallback"]?.fallback() ?: Fallback(),
    )
}

private fun JsonReader.fileEntry(): FileEntry {
    val found = members(setOf("name", "bytes", "sha256"))
    val (name, bytes, sha256) = listOf("name", "bytes", "sha256").map { found.required(it) }
    return FileEntry(name.string(), bytes.long(), sha256.string())
}

private fun JsonReader.tensorSpec(): TensorSpec {
    val found = members(setOf("name", "shape", "dtype", "layout"))
    return TensorSpec(
        name = found.required("name").string(),
        shape = found.required("shape").list { int() },
        dtype = found["dtype"]?.choice(DType.values()) { it.text } ?: DType.FLOAT32,
        layout = found["layout"]?.choice(Layout.values()) { it.text } ?: Layout.NONE,
    )
}

private fun JsonReader.preprocess(): Preprocess {
    val found = members(setOf("size", "resize", "colour", "range", "mean", "std"))
    val size = found.required("size").exactly(2) { int() }
    val plain = Preprocess(SizeHw(size[0], size[1]))
    return plain.copy(
        resize = found["resize"]?.choice(Resize.values()) { it.text } ?: plain.resize,
        colour = found["colour"]?.choice(Colour.values()) { it.text } ?: plain.colour,
        range = found["range"]?.exactly(2) { double() } ?: plain.range,
        mean = found["mean"]?.exactly(3) { double() } ?: plain.mean,
        std = found["std"]?.exactly(3) { double() } ?: plain.std,
    )
}

private fun JsonReader.postprocess(): Postprocess {
    val found = members(setOf("decoder", "settings"))
    return Postprocess(found.required("decoder").string(), found["settings"]?.map { decoderSetting() }.orEmpty())
}

private fun JsonReader.step(): Step {
    val found = members(setOf("tool", "version", "options"))
    return Step(
        found.required("tool").string(),
        found.required("version").string(),
        found["options"]?.map { option() }.orEmpty(),
    )
}

private fun JsonReader.source(): Source {
    val found = members(setOf("sha256", "licence", "origin"))
    return Source(found.required("sha256").string(), found["licence"].stringOrEmpty(), found["origin"].stringOrEmpty())
}

private fun JsonReader.needs(): Needs {
    val found = members(setOf("min_runtime", "ram_bytes"))
    return Needs(found.required("min_runtime").string(), found["ram_bytes"]?.long() ?: 0)
}

private fun JsonReader.fallback(): Fallback {
    val found = members(setOf("policy", "endpoint"))
    return Fallback(
        found["policy"]?.choice(FallbackPolicy.values()) { it.text } ?: FallbackPolicy.ONLY_ON_DEVICE,
        found["endpoint"].stringOrEmpty(),
    )
}

private fun JsonReader?.stringOrEmpty(): String = this?.string().orEmpty()
