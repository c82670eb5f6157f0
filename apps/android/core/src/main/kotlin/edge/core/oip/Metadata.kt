package edge.core.oip

import edge.core.json.Json
import edge.core.json.JsonBoolean
import edge.core.json.JsonError
import edge.core.json.parseJson

private const val PICTURES = "pictures" // parameter of an input that also takes encoded pictures, BYTES of shape [n]

/** Declare one tensor; −1 is an axis of any size, on the first axis of any number of rows. */
data class TensorMetadata(
    val name: String,
    val datatype: Datatype,
    val shape: List<Long>,
    val parameters: Map<String, Json> = emptyMap(),
) {
    /** Whether encoded pictures are taken in place of this tensor. */
    val takesPictures: Boolean get() = parameters[PICTURES] == JsonBoolean(true)
}

/** Declare a model: its versions, what runs it, what goes in and what comes out. */
data class ModelMetadata(
    val name: String,
    val versions: List<String>,
    val platform: String,
    val inputs: List<TensorMetadata>,
    val outputs: List<TensorMetadata>,
)

/** Return what a server says of a model; raises AnswerError. Keys that the protocol does not name are passed over. */
fun readMetadata(body: ByteArray): ModelMetadata = try {
    val found = members(parseJson(utf8(body, 0, body.size)), "metadata")
    ModelMetadata(
        name = text(found["name"], "name"),
        versions = found["versions"]?.let { items(it, "versions").map { version -> text(version, "versions") } }
            ?: listOf("1"),
        platform = found["platform"]?.let { text(it, "platform") } ?: "",
        inputs = items(found["inputs"], "inputs").map(::readTensor),
        outputs = items(found["outputs"], "outputs").map(::readTensor),
    )
} catch (error: JsonError) {
    throw AnswerError("the server's metadata cannot be read: ${said(error)}")
}

private fun readTensor(value: Json): TensorMetadata {
    val found = members(value, "a tensor")
    return TensorMetadata(
        name = text(found["name"], "name"),
        datatype = readDatatype(found["datatype"]),
        shape = items(found["shape"], "shape").map {
            whole(it) ?: throw JsonError("shape: a whole number was expected")
        },
        parameters = readParameters(found["parameters"]),
    )
}

/** Say whether a shape is one that is declared; an open first axis takes 1 to `mostRows` rows. */
internal fun fits(shape: List<Long>, declared: List<Long>, mostRows: Int): Boolean {
    if (shape.size != declared.size || shape.any { it < 1 }) return false
    if (shape.indices.any { declared[it] != -1L && shape[it] != declared[it] }) return false
    return declared.isEmpty() || declared[0] != -1L || shape[0] <= mostRows
}
