// What the sample app uses of ExecuTorch's Android API, declared for the type check; nothing here can be executed.
// Written from the API of 1.5 (org.pytorch:executorch-android): https://docs.pytorch.org/executorch/main/javadoc and
// https://docs.pytorch.org/executorch/stable/using-executorch-android.html, read on 2026-11-22.
package org.pytorch.executorch

import java.io.Closeable
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.nio.LongBuffer

open class Module private constructor() : Closeable {
    open fun forward(vararg inputs: EValue): Array<EValue> = declared()

    open fun loadMethod(methodName: String): Unit = declared()

    open fun destroy(): Unit = declared()

    override fun close(): Unit = declared()

    companion object {
        const val LOAD_MODE_FILE: Int = 0
        const val LOAD_MODE_MMAP: Int = 1

        @JvmStatic
        @JvmOverloads
        fun load(modelPath: String?, loadMode: Int = LOAD_MODE_FILE, numThreads: Int = 0): Module = declared()
    }
}

open class EValue private constructor() {
    open fun toTensor(): Tensor = declared()

    open fun isTensor(): Boolean = declared()

    companion object {
        @JvmStatic
        fun from(value: Tensor): EValue = declared()
    }
}

enum class DType { UINT8, INT8, INT16, INT32, INT64, HALF, FLOAT, DOUBLE, BOOL }

abstract class Tensor private constructor() {
    open val dataAsFloatArray: FloatArray get() = declared()
    open val dataAsIntArray: IntArray get() = declared()
    open val dataAsLongArray: LongArray get() = declared()
    open val dataAsByteArray: ByteArray get() = declared()
    open val dataAsUnsignedByteArray: ByteArray get() = declared()

    fun shape(): LongArray = declared()

    abstract fun dtype(): DType

    companion object {
        @JvmStatic
        fun fromBlob(data: FloatBuffer, shape: LongArray): Tensor = declared()

        @JvmStatic
        fun fromBlob(data: IntBuffer, shape: LongArray): Tensor = declared()

        @JvmStatic
        fun fromBlob(data: LongBuffer, shape: LongArray): Tensor = declared()

        @JvmStatic
        fun allocateFloatBuffer(numElements: Int): FloatBuffer = declared()

        @JvmStatic
        fun allocateIntBuffer(numElements: Int): IntBuffer = declared()

        @JvmStatic
        fun allocateLongBuffer(numElements: Int): LongBuffer = declared()
    }
}

private fun declared(): Nothing = throw UnsupportedOperationException("only declared")
