package edge.core.oip

import edge.core.json.Json
import edge.core.json.JsonError
import java.nio.ByteBuffer

/** What a model answered, outputs by name. */
class InferResponse(
    val modelName: String,
    val modelVersion: String,
    val outputs: Map<String, Tensor>,
    val id: String,
    val parameters: Map<String, Json>,
)

/**
 * Return the answer of a server, which is trusted no more than a client is.
 *
 * `headerLength` is the value of `Inference-Header-Content-Length`, null without one. `expected` are the outputs that
 * have to be there, as they have to be; more may come. Tensors are views of `body` where they can be. Raises
 * AnswerError and nothing else. An answer with another status than 200 is for `parseError`.
 */
fun parseResponse(
    body: ByteArray,
    headerLength: String?,
    expected: List<TensorMetadata> = emptyList(),
    limits: Limits = Limits(),
): InferResponse = try {
    val jsonBytes = jsonLength(body.size, headerLength, limits)
    val document = readResponseDocument(body, jsonBytes)
    val places = layOut(document.outputs, body.size - jsonBytes, limits)
    for (spec in expected) check(spec, document.outputs, limits)
    val binary = ByteBuffer.wrap(body, jsonBytes, body.size - jsonBytes).slice()
    val outputs = document.outputs.associate { it.name to readTensor(it, places.getValue(it.name), binary) }
    InferResponse(document.modelName, document.modelVersion, outputs, document.id, document.parameters)
} catch (error: RequestError) {
    throw AnswerError("the server's answer cannot be read: ${error.message}")
} catch (error: JsonError) {
    throw AnswerError("the server's answer cannot be read: the JSON is not the protocol's: ${said(error)}")
}

internal fun said(error: JsonError): String = printable(error.message ?: "")

private fun check(spec: TensorMetadata, documents: List<TensorDocument>, limits: Limits) {
    val found = documents.firstOrNull { it.name == spec.name }
        ?: throw RequestError("output ${shown(spec.name)} is missing")
    if (found.datatype != spec.datatype || !fits(found.shape, spec.shape, limits.rows)) {
        throw RequestError(
            "output ${shown(spec.name)} is ${found.datatype} ${found.shape}, not ${spec.datatype} ${spec.shape}",
        )
    }
}
