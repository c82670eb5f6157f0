package edge.core.oip

import edge.core.json.Json
import java.nio.ByteBuffer
import java.nio.ByteOrder

private const val EXACT_IN_FLOAT = 1L shl 24

/**
 * A named tensor of `shape`, held as it is on the wire; its values are never shown in messages.
 *
 * `raw` has as many bytes as shape and datatype say; of BYTES its elements fill it.
 */
class Tensor(
    val name: String,
    val datatype: Datatype,
    val shape: List<Long>,
    raw: ByteBuffer,
    val parameters: Map<String, Json> = emptyMap(),
) {
    private val values: ByteBuffer = raw.slice().asReadOnlyBuffer()

    /** Return the bytes on the wire, little-endian, from the first to the last; a view. */
    val raw: ByteBuffer get() = values.duplicate().order(ByteOrder.LITTLE_ENDIAN)

    val count: Int get() = elementCount(shape).toInt()

    /**
     * Return the values (shape, row-major) as floats.
     *
     * Raises AnswerError for BYTES, and for whole numbers beyond 2^24, which a float does not hold.
     */
    fun floats(): FloatArray {
        val bytes = raw
        return when (datatype) {
            Datatype.FP32 -> FloatArray(count).also { bytes.asFloatBuffer().get(it) }
            Datatype.FP16 -> FloatArray(count) { halfValue(bytes.getShort().toInt()) }
            Datatype.BF16 -> FloatArray(count) { Float.fromBits(bytes.getShort().toInt() shl 16) }
            Datatype.FP64 -> FloatArray(count) { bytes.getDouble().toFloat() }
            else -> FloatArray(count) { exact(whole(bytes)) }
        }
    }

    /** Return whole numbers (shape, row-major); raises AnswerError for other datatypes and UINT64 beyond 2^63. */
    fun longs(): LongArray {
        val bytes = raw
        return LongArray(count) { whole(bytes) }
    }

    /** Return the elements of BYTES; raises AnswerError for other datatypes. */
    fun elements(): List<ByteArray> {
        if (datatype != Datatype.BYTES) throw AnswerError("tensor ${shown(name)} is $datatype, not BYTES")
        val bytes = raw
        return List(count) { ByteArray(bytes.getInt()).also(bytes::get) }
    }

    override fun toString(): String = "Tensor(${shown(name)}, $datatype, $shape)"

    private fun whole(bytes: ByteBuffer): Long = when (datatype) {
        Datatype.BOOL, Datatype.UINT8 -> bytes.get().toLong() and 0xff
        Datatype.INT8 -> bytes.get().toLong()
        Datatype.UINT16 -> bytes.getShort().toLong() and 0xffff
        Datatype.INT16 -> bytes.getShort().toLong()
        Datatype.UINT32 -> bytes.getInt().toLong() and 0xffff_ffffL
        Datatype.INT32 -> bytes.getInt().toLong()
        Datatype.INT64 -> bytes.getLong()
        Datatype.UINT64 -> bytes.getLong().also { if (it < 0) fail("a value is beyond 2^63") }
        else -> fail("$datatype holds no whole numbers")
    }

    private fun exact(value: Long): Float =
        if (value in -EXACT_IN_FLOAT..EXACT_IN_FLOAT) value.toFloat() else fail("a value is beyond 2^24")

    private fun fail(what: String): Nothing = throw AnswerError("tensor ${shown(name)}: $what")

    companion object {
        /** Return a tensor of FP32. */
        fun of(name: String, shape: List<Long>, values: FloatArray): Tensor {
            check(name, shape, values.size)
            val raw = ByteBuffer.allocate(values.size * 4).order(ByteOrder.LITTLE_ENDIAN)
            raw.asFloatBuffer().put(values)
            return Tensor(name, Datatype.FP32, shape, raw)
        }

        /** Return a tensor of INT64. */
        fun of(name: String, shape: List<Long>, values: LongArray): Tensor {
            check(name, shape, values.size)
            val raw = ByteBuffer.allocate(values.size * 8).order(ByteOrder.LITTLE_ENDIAN)
            raw.asLongBuffer().put(values)
            return Tensor(name, Datatype.INT64, shape, raw)
        }

        /** Return elements, such as encoded pictures, as a BYTES tensor of shape [n]. */
        fun of(name: String, elements: List<ByteArray>): Tensor =
            Tensor(name, Datatype.BYTES, listOf(elements.size.toLong()), joined(elements))

        private fun check(name: String, shape: List<Long>, count: Int) {
            require(shape.all { it >= 0 } && elementCount(shape) == count.toLong()) {
                "tensor $name: $count values do not fill the shape $shape"
            }
        }
    }
}

/** Return elements of BYTES as they are on the wire. */
internal fun joined(elements: List<ByteArray>): ByteBuffer {
    val raw = ByteBuffer.allocate(elements.sumOf { it.size + 4 }).order(ByteOrder.LITTLE_ENDIAN)
    for (element in elements) raw.putInt(element.size).put(element)
    raw.flip()
    return raw
}

/**
 * Return floats (shape, row-major) as a tensor of a datatype.
 *
 * Raises IllegalArgumentException where a value is none of the datatype's, as 0.5 is no INT64; FP16 and BF16 round.
 */
internal fun tensorOf(name: String, datatype: Datatype, shape: List<Long>, values: FloatArray): Tensor {
    if (datatype == Datatype.FP32) return Tensor.of(name, shape, values)
    val bytes = requireNotNull(datatype.bytes) { "tensor $name: floats are no BYTES" }
    require(elementCount(shape) == values.size.toLong()) { "tensor $name: ${values.size} values do not fill $shape" }
    val raw = ByteBuffer.allocate(values.size * bytes).order(ByteOrder.LITTLE_ENDIAN)
    for (value in values) put(raw, name, datatype, value)
    raw.flip()
    return Tensor(name, datatype, shape, raw)
}

private fun put(raw: ByteBuffer, name: String, datatype: Datatype, value: Float) {
    when (datatype) {
        Datatype.FP16 -> raw.putShort(halfOf(value).toShort())
        Datatype.BF16 -> raw.putShort(bfloat(value).toShort())
        Datatype.FP64 -> raw.putDouble(value.toDouble())
        else -> {
            val whole = value.toLong()
            val bits = 8 * (datatype.bytes ?: 0)
            val (low, high) = when (datatype.kind) {
                Datatype.Kind.BOOL -> 0L to 1L
                Datatype.Kind.UNSIGNED -> 0L to if (bits == 64) Long.MAX_VALUE else (1L shl bits) - 1
                else -> (-1L shl (bits - 1)) to ((1L shl (bits - 1)) - 1)
            }
            require(whole.toFloat() == value && whole in low..high && whole != Long.MAX_VALUE) {
                "tensor $name: $value is no $datatype"
            }
            when (bits) {
                8 -> raw.put(whole.toByte())
                16 -> raw.putShort(whole.toShort())
                32 -> raw.putInt(whole.toInt())
                else -> raw.putLong(whole)
            }
        }
    }
}

private fun halfOf(value: Float): Int = if (value.isNaN()) 0x7e00 else halfBits(value.toDouble())

/** Return the upper half of a float, rounded to nearest even; NaN stays NaN. */
private fun bfloat(value: Float): Int {
    val bits = value.toRawBits()
    if (value.isNaN()) return (bits ushr 16) or 0x40
    return (bits + 0x7fff + ((bits ushr 16) and 1)) ushr 16
}
