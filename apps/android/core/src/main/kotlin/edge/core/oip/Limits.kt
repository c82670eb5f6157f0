package edge.core.oip

import java.io.ByteArrayOutputStream

private const val FIRST_BYTES = 8 shl 10

/** Bound what one message may take; everything is checked before memory is taken for it. */
data class Limits(
    val bodyBytes: Int = 8 shl 20,
    val jsonBytes: Int = 64 shl 10, // tensors written as JSON count too: larger ones travel as binary data
    val tensors: Int = 16, // inputs, or outputs, of one message
    val axes: Int = 8, // of one tensor
    val rows: Int = 64, // of the first axis, where the model leaves it open
    val elements: Int = 4096, // of one BYTES tensor
) {
    init {
        require(minOf(minOf(bodyBytes, jsonBytes, tensors), minOf(axes, rows, elements)) >= 1) {
            "$this: every limit has to be at least 1"
        }
    }
}

/** Return a header's number of bytes; raises RequestError for anything but plain digits. */
internal fun parseLength(text: String, header: String): Long {
    if (text.length !in 1..15 || text.any { it !in '0'..'9' }) {
        throw RequestError("header $header is '${printable(text, 40)}'; it has to be a number of bytes")
    }
    return text.toLong()
}

/**
 * Collect a body chunk by chunk and refuse it as soon as it is, or announces to be, above the limit.
 *
 * `contentLength` and `contentEncoding` are the headers' values, null where they are absent. Memory grows with what has
 * arrived, never with what was announced.
 */
class BodyLimiter(private val limitBytes: Int, contentLength: String? = null, contentEncoding: String? = null) {
    private val body = ByteArrayOutputStream(minOf(limitBytes, FIRST_BYTES))
    private val announcedBytes: Long?

    init {
        if (contentEncoding != null && contentEncoding.trim().lowercase() !in listOf("", "identity")) {
            val shown = printable(contentEncoding, 40)
            throw UnsupportedEncoding("a body with Content-Encoding '$shown' is refused; send it uncompressed")
        }
        announcedBytes = contentLength?.let { parseLength(it, "Content-Length") }
        announcedBytes?.let(::check)
    }

    /** Add a chunk; raises TooLarge above the limit and RequestError above what was announced. */
    fun feed(chunk: ByteArray, count: Int) {
        val sizeBytes = body.size().toLong() + count
        check(sizeBytes)
        if (announcedBytes != null && sizeBytes > announcedBytes) {
            throw RequestError("the body is longer than the $announcedBytes bytes of its Content-Length")
        }
        body.write(chunk, 0, count)
    }

    /** Return the body; raises RequestError where less arrived than was announced. */
    fun finish(): ByteArray {
        if (announcedBytes != null && body.size().toLong() != announcedBytes) {
            throw RequestError("the body ended after ${body.size()} of $announcedBytes bytes")
        }
        return body.toByteArray()
    }

    private fun check(sizeBytes: Long) {
        if (sizeBytes > limitBytes) {
            throw TooLarge("the body is above the limit of $limitBytes bytes; send a smaller picture")
        }
    }
}
