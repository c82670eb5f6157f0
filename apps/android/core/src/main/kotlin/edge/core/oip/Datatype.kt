package edge.core.oip

import edge.core.manifest.DType

/**
 * The protocol's datatypes; `bytes` is the size of one element on the wire, null for BYTES, whose elements differ.
 *
 * Raw values are little-endian and row-major; an element of BYTES is 4 bytes of length and then as many bytes.
 */
enum class Datatype(val bytes: Int?, internal val kind: Kind) {
    BOOL(1, Kind.BOOL),
    UINT8(1, Kind.UNSIGNED),
    UINT16(2, Kind.UNSIGNED),
    UINT32(4, Kind.UNSIGNED),
    UINT64(8, Kind.UNSIGNED),
    INT8(1, Kind.SIGNED),
    INT16(2, Kind.SIGNED),
    INT32(4, Kind.SIGNED),
    INT64(8, Kind.SIGNED),
    FP16(2, Kind.FLOAT),
    FP32(4, Kind.FLOAT),
    FP64(8, Kind.FLOAT),
    BF16(2, Kind.FLOAT),
    BYTES(null, Kind.BYTES);

    internal enum class Kind { BOOL, UNSIGNED, SIGNED, FLOAT, BYTES }

    companion object {
        private val BY_NAME = entries.associateBy { it.name }

        /** Return the datatype of a name, null if the protocol has none. */
        fun of(name: String): Datatype? = BY_NAME[name]
    }
}

/** Return the protocol's datatype of a manifest's. */
fun datatypeOf(dtype: DType): Datatype = when (dtype) {
    DType.FLOAT32 -> Datatype.FP32
    DType.FLOAT16 -> Datatype.FP16
    DType.INT64 -> Datatype.INT64
    DType.INT32 -> Datatype.INT32
    DType.INT16 -> Datatype.INT16
    DType.INT8 -> Datatype.INT8
    DType.UINT8 -> Datatype.UINT8
    DType.BOOL -> Datatype.BOOL
}

/** Return how many elements a shape has, `Long.MAX_VALUE` for more than a Long holds. */
internal fun elementCount(shape: List<Long>): Long {
    if (0L in shape) return 0
    return shape.fold(1L, ::saturatedTimes)
}

/** Return the product of two numbers from 0, `Long.MAX_VALUE` where it is more. */
internal fun saturatedTimes(a: Long, b: Long): Long = when {
    a == 0L || b == 0L -> 0
    a > Long.MAX_VALUE / b -> Long.MAX_VALUE
    else -> a * b
}
