package edge.core.oip

import edge.core.json.Json
import edge.core.json.JsonArray
import edge.core.json.JsonBoolean
import edge.core.json.JsonError
import edge.core.json.JsonNumber
import edge.core.json.JsonObject
import edge.core.json.JsonString
import edge.core.json.parseJson

private const val LONGEST_NAME = 256
private const val LARGEST_SIZE = 1L shl 40 // of one axis

/** One tensor in the JSON: `data`, or `binary_data_size` among its parameters. */
internal class TensorDocument(
    val name: String,
    val shape: List<Long>,
    val datatype: Datatype,
    val parameters: Map<String, Json>,
    val data: Json?,
)

/** An answer's JSON, read but not checked against the binary part. */
internal class ResponseDocument(
    val modelName: String,
    val modelVersion: String,
    val id: String,
    val parameters: Map<String, Json>,
    val outputs: List<TensorDocument>,
)

/** Return the document of an answer's JSON; raises JsonError. Keys that the protocol does not name are passed over. */
internal fun readResponseDocument(body: ByteArray, jsonBytes: Int): ResponseDocument {
    val found = members(parseJson(utf8(body, 0, jsonBytes)), "the answer")
    return ResponseDocument(
        modelName = name(found["model_name"], "model_name"),
        modelVersion = found["model_version"]?.let { text(it, "model_version") } ?: "",
        id = found["id"]?.let { text(it, "id").also { id -> checkLength(id, "id") } } ?: "",
        parameters = readParameters(found["parameters"]),
        outputs = items(found["outputs"], "outputs").map(::readTensorDocument),
    )
}

private fun readTensorDocument(value: Json): TensorDocument {
    val found = members(value, "an output")
    return TensorDocument(
        name = name(found["name"], "name"),
        shape = items(found["shape"], "shape").map(::size),
        datatype = readDatatype(found["datatype"]),
        parameters = readParameters(found["parameters"]),
        data = found["data"],
    )
}

internal fun readDatatype(value: Json?): Datatype {
    val name = text(value, "datatype")
    return Datatype.of(name) ?: throw JsonError("datatype ${shown(name)} is none of the protocol's")
}

/** Return parameters, which are booleans, numbers and strings; none where they are absent. */
internal fun readParameters(value: Json?): Map<String, Json> {
    if (value == null) return emptyMap()
    val found = members(value, "parameters")
    for ((key, parameter) in found) {
        checkText(key)
        when (parameter) {
            is JsonBoolean -> Unit
            is JsonNumber -> if (parameter.text.toDouble().isInfinite()) throw JsonError("a parameter is out of range")
            is JsonString -> checkText(parameter.value)
            else -> throw JsonError("parameter ${shown(key)} is no boolean, number or string")
        }
    }
    return found
}

internal fun members(value: Json?, what: String): Map<String, Json> =
    (value as? JsonObject ?: throw JsonError("$what: an object was expected")).members

internal fun items(value: Json?, what: String): List<Json> =
    (value as? JsonArray ?: throw JsonError("$what: a list was expected")).items

internal fun text(value: Json?, what: String): String =
    (value as? JsonString ?: throw JsonError("$what: a string was expected")).value.also(::checkText)

/** Return a whole number, null for one with a point or an exponent and for one that a Long does not hold. */
internal fun whole(value: Json?): Long? = (value as? JsonNumber)?.text?.toLongOrNull()

private fun name(value: Json?, what: String): String {
    val found = text(value, what)
    if (found.isEmpty()) throw JsonError("$what is empty")
    checkLength(found, what)
    return found
}

private fun size(value: Json): Long {
    val found = whole(value)
    if (found == null || found !in 0..LARGEST_SIZE) throw JsonError("shape: a size is from 0 to 2^40")
    return found
}

private fun checkLength(text: String, what: String) {
    if (text.codePointCount(0, text.length) > LONGEST_NAME) throw JsonError("$what is longer than $LONGEST_NAME")
}

/** Raise JsonError for half of a surrogate pair. */
private fun checkText(text: String) {
    var at = 0
    while (at < text.length) {
        val pair = text[at].isHighSurrogate() && at + 1 < text.length && text[at + 1].isLowSurrogate()
        if (text[at].isSurrogate() && !pair) throw JsonError("a string holds half of a surrogate pair")
        at += if (pair) 2 else 1
    }
}
