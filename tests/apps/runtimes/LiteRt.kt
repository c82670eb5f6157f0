// What the sample app uses of LiteRT's CompiledModel API, declared for the type check; nothing here can be executed.
// Written from the API of 2.3.0 (com.google.ai.edge.litert:litert):
// https://developers.google.com/edge/litert/next/android_kotlin, read on 2026-11-22.
package com.google.ai.edge.litert

import android.content.Context

enum class Accelerator(val value: Int) { NONE(0), CPU(1), GPU(2), NPU(3) }

abstract class JniHandle internal constructor() : AutoCloseable {
    final override fun close(): Unit = declared()
}

class LiteRtException internal constructor(message: String) : Exception(message)

class Environment private constructor() : JniHandle() {
    fun getAvailableAccelerators(): Set<Accelerator> = declared()

    companion object {
        @JvmStatic
        fun create(context: Context): Environment = declared()
    }
}

class TensorBuffer internal constructor() : JniHandle() {
    fun writeInt(data: IntArray): Unit = declared()

    fun writeFloat(data: FloatArray): Unit = declared()

    fun writeInt8(data: ByteArray): Unit = declared()

    fun readInt(): IntArray = declared()

    fun readFloat(): FloatArray = declared()

    fun readInt8(): ByteArray = declared()
}

class CompiledModel private constructor() : JniHandle() {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(vararg accelerators: Accelerator) {
        var cpuOptions: CpuOptions? = null
    }

    @JvmOverloads
    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = declared()

    @JvmOverloads
    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = declared()

    @JvmOverloads
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0): Unit = declared()

    companion object {
        @JvmStatic
        fun create(filePath: String, options: Options, optionalEnv: Environment? = null): CompiledModel = declared()
    }
}

private fun declared(): Nothing = throw UnsupportedOperationException("only declared")
