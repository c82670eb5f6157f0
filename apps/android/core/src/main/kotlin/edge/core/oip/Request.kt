package edge.core.oip

import edge.core.json.Json
import edge.core.json.JsonArray
import edge.core.json.JsonBoolean
import edge.core.json.JsonNumber
import edge.core.json.JsonObject
import edge.core.json.JsonString

/** The HTTP header that says how many bytes of a body are JSON; without it all are. */
const val HEADER = "Inference-Header-Content-Length"
private const val ALIGNMENT = 16 // the JSON is filled up with spaces, so that the first tensor can be used in place

/** A body, and how many of its bytes are JSON; what it holds is never shown. */
class Message(val body: ByteArray, val jsonBytes: Int) {
    /** Return the HTTP headers that say how to read the body. */
    val headers: Map<String, String>
        get() = mapOf("Content-Type" to "application/octet-stream", HEADER to jsonBytes.toString())
}

/** The rotated region of a picture that a landmark model wants: centre and side in pixels, rotation in radians. */
data class PictureRegion(val centreX: Double, val centreY: Double, val side: Double, val rotation: Double)

/** Return an encoded picture as a BYTES tensor, its region among the parameters. */
fun pictureTensor(name: String, encoded: ByteArray, region: PictureRegion?): Tensor {
    val parameters = LinkedHashMap<String, Json>()
    if (region != null) {
        parameters["centre_x"] = JsonNumber(numberText(region.centreX))
        parameters["centre_y"] = JsonNumber(numberText(region.centreY))
        parameters["side"] = JsonNumber(numberText(region.side))
        parameters["rotation"] = JsonNumber(numberText(region.rotation))
    }
    return Tensor(name, Datatype.BYTES, listOf(1L), joined(listOf(encoded)), parameters)
}

/**
 * Return the message that asks for `outputs`, or all of them, tensors both ways as binary data.
 *
 * `timeoutUs` is how long the client waits, in microseconds; `priority` 0 is the model's default.
 */
fun encodeRequest(
    inputs: List<Tensor>,
    outputs: List<String> = emptyList(),
    id: String = "",
    timeoutUs: Long? = null,
    priority: Long = 0,
): Message {
    val parameters = linkedMapOf<String, Json>("binary_data_output" to JsonBoolean(true))
    if (timeoutUs != null) parameters["timeout"] = JsonNumber(timeoutUs.toString())
    if (priority != 0L) parameters["priority"] = JsonNumber(priority.toString())
    val document = LinkedHashMap<String, Json>()
    if (id.isNotEmpty()) document["id"] = JsonString(id)
    document["parameters"] = JsonObject(parameters)
    document["inputs"] = JsonArray(inputs.map(::describe))
    if (outputs.isNotEmpty()) {
        document["outputs"] = JsonArray(outputs.map { JsonObject(mapOf("name" to JsonString(it))) })
    }
    return join(wireBytes(JsonObject(document)), inputs)
}

private fun describe(tensor: Tensor): Json {
    val size = JsonNumber(tensor.raw.remaining().toString())
    return JsonObject(
        linkedMapOf(
            "name" to JsonString(tensor.name),
            "shape" to JsonArray(tensor.shape.map { JsonNumber(it.toString()) }),
            "datatype" to JsonString(tensor.datatype.name),
            "parameters" to JsonObject(tensor.parameters + ("binary_data_size" to size)),
        ),
    )
}

private fun join(head: ByteArray, inputs: List<Tensor>): Message {
    val jsonBytes = (head.size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
    val body = ByteArray(jsonBytes + inputs.sumOf { it.raw.remaining() })
    head.copyInto(body)
    body.fill(' '.code.toByte(), head.size, jsonBytes)
    var at = jsonBytes
    for (input in inputs) {
        val raw = input.raw
        val size = raw.remaining()
        raw.get(body, at, size)
        at += size
    }
    return Message(body, jsonBytes)
}
