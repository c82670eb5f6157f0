package edge.core.oip

import edge.core.json.Json
import edge.core.json.JsonNumber
import java.nio.ByteBuffer
import java.nio.ByteOrder

private const val SIZE = "binary_data_size"

/** Return how many bytes of a body are JSON; raises TooLarge and RequestError. */
internal fun jsonLength(bodyBytes: Int, headerLength: String?, limits: Limits): Int {
    if (bodyBytes > limits.bodyBytes) {
        throw TooLarge("the body has $bodyBytes bytes; at most ${limits.bodyBytes} are taken")
    }
    val jsonBytes = headerLength?.let { parseLength(it, HEADER) } ?: bodyBytes.toLong()
    if (jsonBytes > limits.jsonBytes) {
        throw TooLarge("the JSON has $jsonBytes bytes; at most ${limits.jsonBytes} are read")
    }
    if (jsonBytes > bodyBytes) throw RequestError("$HEADER is $jsonBytes, the whole body has $bodyBytes bytes")
    return jsonBytes.toInt()
}

/**
 * Return where each tensor lies in the binary part, by name; one in the JSON takes no room there.
 *
 * Checks, before any tensor takes memory, that names differ, that shape × datatype is the stated size, and that the
 * sizes fill the binary part. Raises RequestError, or TooLarge above a limit.
 */
internal fun layOut(documents: List<TensorDocument>, binaryBytes: Int, limits: Limits): Map<String, IntRange> {
    if (documents.size > limits.tensors) {
        throw TooLarge("${documents.size} tensors; at most ${limits.tensors} are taken")
    }
    val places = LinkedHashMap<String, IntRange>()
    var offset = 0
    for (document in documents) {
        if (document.name in places) throw RequestError("tensor ${shown(document.name)} is given twice")
        val sizeBytes = statedBytes(document)
        checkSize(document, sizeBytes, limits)
        if ((sizeBytes ?: 0) > binaryBytes - offset) {
            throw RequestError("tensor ${shown(document.name)}: its $sizeBytes bytes are more than follow the JSON")
        }
        val end = offset + (sizeBytes ?: 0).toInt()
        places[document.name] = offset until end
        offset = end
    }
    if (offset != binaryBytes) {
        throw RequestError("the tensors' $SIZE adds up to $offset bytes; $binaryBytes follow the JSON")
    }
    return places
}

/** Return a tensor of the JSON, or from where `layOut` placed it in `binary`; raises RequestError for wrong values. */
internal fun readTensor(document: TensorDocument, place: IntRange, binary: ByteBuffer): Tensor {
    val raw = document.data?.let { rawOfJson(document, it) } ?: slice(binary, place)
    if (document.data == null) checkValues(document, raw)
    return Tensor(document.name, document.datatype, document.shape, raw, document.parameters - SIZE)
}

private fun slice(binary: ByteBuffer, place: IntRange): ByteBuffer {
    val found = binary.duplicate()
    found.limit(place.last + 1)
    found.position(place.first)
    return found.slice()
}

private fun checkValues(document: TensorDocument, raw: ByteBuffer) {
    val name = shown(document.name)
    if (document.datatype == Datatype.BOOL && (0 until raw.limit()).any { raw.get(it) !in 0..1 }) {
        throw RequestError("tensor $name: BOOL is a byte of 0 or 1, some are not")
    }
    if (document.datatype == Datatype.BYTES && !isFilled(raw, elementCount(document.shape).toInt())) {
        throw RequestError("tensor $name: ${raw.limit()} bytes are not the shape's elements of BYTES")
    }
}

/** Say whether `count` elements, each 4 bytes of length and then as many bytes, fill the bytes. */
private fun isFilled(raw: ByteBuffer, count: Int): Boolean {
    val bytes = raw.duplicate().order(ByteOrder.LITTLE_ENDIAN)
    repeat(count) {
        if (bytes.remaining() < 4) return false
        val length = bytes.getInt().toLong() and 0xffff_ffffL
        if (length > bytes.remaining()) return false
        bytes.position(bytes.position() + length.toInt())
    }
    return !bytes.hasRemaining()
}

/** Return a tensor's size in the binary part, null where its values are in the JSON. */
private fun statedBytes(document: TensorDocument): Long? {
    val name = shown(document.name)
    if (document.parameters.keys.any { it.startsWith("shared_memory") }) {
        throw RequestError("tensor $name: shared memory is not served; send the tensor as binary data")
    }
    val stated = document.parameters[SIZE]
    if ((document.data != null) == (stated != null)) {
        val given = if (stated != null) "both data and $SIZE" else "neither data nor $SIZE"
        throw RequestError("tensor $name has $given; give one of them")
    }
    return stated?.let { sizeOf(name, it) }
}

private fun sizeOf(name: String, stated: Json): Long {
    val found = whole(stated)
    if (found == null || found < 0) {
        val shown = (stated as? JsonNumber)?.text ?: "something else"
        throw RequestError("tensor $name: $SIZE ${printable(shown, 40)} is no number of bytes")
    }
    return found
}

/** Check shape × datatype against the limits and the stated size, without overflow. */
private fun checkSize(document: TensorDocument, sizeBytes: Long?, limits: Limits) {
    val name = shown(document.name)
    if (document.shape.size > limits.axes) {
        throw TooLarge("tensor $name has ${document.shape.size} axes; at most ${limits.axes} are taken")
    }
    val count = elementCount(document.shape)
    val each = document.datatype.bytes
    if (each == null && count > limits.elements) {
        throw TooLarge("tensor $name has $count elements of BYTES; at most ${limits.elements} are taken")
    }
    val leastBytes = saturatedTimes(count, (each ?: 4).toLong()) // an element of BYTES is at least its length
    val what = "tensor $name: ${document.shape} of ${document.datatype}"
    if (leastBytes > limits.bodyBytes) throw TooLarge("$what is above the limit of ${limits.bodyBytes} bytes")
    if (sizeBytes == null) return
    if (if (each == null) sizeBytes < leastBytes else sizeBytes != leastBytes) {
        val least = if (each == null) "at least " else ""
        throw RequestError("$what is $least$leastBytes bytes, $SIZE is $sizeBytes")
    }
}
