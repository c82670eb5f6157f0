package edge.core.oip

import kotlin.math.abs
import kotlin.math.withSign

private const val HALF_INFINITY = 0x7c00
private const val LEAST_NORMAL = 1.0 / (1 shl 14)
private const val OVERFLOWS_FROM = 65_520.0 // rounds to 2^16

/** Return the bits of the half nearest to a number, ties to even; infinity from 65,520. NaN is not expected. */
internal fun halfBits(value: Double): Int {
    val size = abs(value)
    val sign = if (1.0.withSign(value) < 0) 0x8000 else 0
    val bits = when {
        size >= OVERFLOWS_FROM -> HALF_INFINITY
        size < LEAST_NORMAL -> Math.rint(size * (1 shl 24)).toInt()
        else -> {
            val exponent = Math.getExponent(size)
            val mantissa = Math.rint(Math.scalb(size, 10 - exponent)).toInt() // 1024 to 2048, which carries over
            ((exponent + 15) shl 10) + mantissa - 1024
        }
    }
    return sign or bits
}

/** Return a half's value, exactly. */
internal fun halfValue(bits: Int): Float {
    val exponent = (bits shr 10) and 0x1f
    val mantissa = bits and 0x3ff
    val size = when (exponent) {
        0 -> Math.scalb(mantissa.toFloat(), -24)
        0x1f -> if (mantissa == 0) Float.POSITIVE_INFINITY else Float.NaN
        else -> Math.scalb((mantissa + 1024).toFloat(), exponent - 25)
    }
    return if (bits and 0x8000 != 0) -size else size
}
