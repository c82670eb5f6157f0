package edge.core.oip

import edge.core.json.Json
import edge.core.json.JsonError
import edge.core.json.write
import java.math.BigDecimal
import java.math.MathContext
import java.math.RoundingMode
import java.nio.ByteBuffer
import java.nio.CharBuffer
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction

// Both sides' requests are compared byte for byte, so numbers are written as the reference writes them.

/** Return the UTF-8 of a value's JSON; raises IllegalArgumentException for half a pair. */
internal fun wireBytes(value: Json): ByteArray {
    val encoder = Charsets.UTF_8.newEncoder().onMalformedInput(CodingErrorAction.REPORT)
    val encoded = try {
        encoder.encode(CharBuffer.wrap(value.write()))
    } catch (_: CharacterCodingException) {
        throw IllegalArgumentException("a name or parameter holds half of a surrogate pair, which is no text")
    }
    return ByteArray(encoded.remaining()).also { encoded.get(it) }
}

/** Return text of UTF-8; raises JsonError where the bytes are none. */
internal fun utf8(bytes: ByteArray, from: Int, until: Int): String {
    val decoder = Charsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
        .onUnmappableCharacter(CodingErrorAction.REPORT)
    return try {
        decoder.decode(ByteBuffer.wrap(bytes, from, until - from)).toString()
    } catch (_: CharacterCodingException) {
        throw JsonError("the text is no UTF-8")
    }
}

/** Return a finite number as its shortest text: 0.00001, 1234.5, 1e16. */
internal fun numberText(value: Double): String {
    require(value.isFinite()) { "$value has no JSON" }
    val sign = if (value < 0 || 1 / value < 0) "-" else ""
    if (value == 0.0) return "${sign}0.0"
    val shortest = shortest(value)
    val digits = shortest.unscaledValue().abs().toString().trimEnd('0')
    val point = shortest.precision() - shortest.scale() // of digits before the decimal point
    return sign + when {
        digits.length <= point && point <= 16 -> digits.padEnd(point, '0') + ".0"
        point in 1..16 -> digits.substring(0, point) + "." + digits.substring(point)
        point in -4..0 -> "0." + "0".repeat(-point) + digits
        digits.length == 1 -> "${digits}e${point - 1}"
        else -> "${digits[0]}.${digits.substring(1)}e${point - 1}"
    }
}

/** Return the number of the fewest digits that is read as the same double; of several, the nearest. */
private fun shortest(value: Double): BigDecimal {
    val exact = BigDecimal(value)
    for (precision in 1..16) {
        // Below a power of two the doubles lie closer: there the nearest may be read as another, and the next is not.
        val around = listOf(RoundingMode.DOWN, RoundingMode.UP).map { exact.round(MathContext(precision, it)) }
        around.filter { it.toDouble() == value }.minByOrNull { (it - exact).abs() }?.let { return it }
    }
    return exact.round(MathContext(17, RoundingMode.HALF_EVEN))
}
