package edge.app.engines

import edge.core.manifest.DType
import edge.core.manifest.TensorSpec
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.nio.LongBuffer

/** Report an artifact that a runtime cannot open, or a run that failed. */
class EngineError(message: String, cause: Throwable? = null) : Exception(message, cause)

internal val TensorSpec.count: Int get() = Math.toIntExact(elements)

internal val TensorSpec.longShape: LongArray get() = LongArray(shape.size) { shape[it].toLong() }

/** Return an input's values; raises EngineError where they are missing or too few or many. */
internal fun Map<String, FloatArray>.of(spec: TensorSpec): FloatArray {
    val found = this[spec.name]
        ?: throw EngineError("the input '${spec.name}' is missing; given: ${keys.joinToString()}")
    if (found.size != spec.count) {
        throw EngineError("${spec.name} has ${found.size} values; shape ${spec.shape} takes ${spec.count}")
    }
    return found
}

internal fun unsupported(spec: TensorSpec, runtime: String): Nothing =
    throw EngineError("${spec.name} is ${spec.dtype.text}, which the app does not exchange with $runtime")

/** Direct memory for one tensor, in native order, as the runtimes want it. */
internal sealed interface Cell {
    fun fill(values: FloatArray)
}

internal class FloatCell(count: Int) : Cell {
    val buffer: FloatBuffer = direct(count, Float.SIZE_BYTES).asFloatBuffer()

    override fun fill(values: FloatArray) {
        buffer.rewind()
        buffer.put(values)
        buffer.rewind()
    }
}

internal class IntCell(count: Int) : Cell {
    val buffer: IntBuffer = direct(count, Int.SIZE_BYTES).asIntBuffer()

    override fun fill(values: FloatArray) {
        for (index in values.indices) buffer.put(index, values[index].toInt())
    }
}

internal class LongCell(count: Int) : Cell {
    val buffer: LongBuffer = direct(count, Long.SIZE_BYTES).asLongBuffer()

    override fun fill(values: FloatArray) {
        for (index in values.indices) buffer.put(index, values[index].toLong())
    }
}

internal fun cell(spec: TensorSpec, runtime: String): Cell = when (spec.dtype) {
    DType.FLOAT32 -> FloatCell(spec.count)
    DType.INT32 -> IntCell(spec.count)
    DType.INT64 -> LongCell(spec.count)
    else -> unsupported(spec, runtime)
}

private fun direct(count: Int, size: Int) =
    ByteBuffer.allocateDirect(Math.multiplyExact(count, size)).order(ByteOrder.nativeOrder())

internal fun IntArray.toFloats(into: FloatArray): FloatArray {
    for (index in into.indices) into[index] = this[index].toFloat()
    return into
}

internal fun LongArray.toFloats(into: FloatArray): FloatArray {
    for (index in into.indices) into[index] = this[index].toFloat()
    return into
}
