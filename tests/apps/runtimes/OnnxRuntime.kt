// What the sample app uses of ONNX Runtime's Java API, declared for the type check; nothing here can be executed.
// Written from the API of 1.27 (com.microsoft.onnxruntime:onnxruntime-android):
// https://onnxruntime.ai/docs/api/java/ai/onnxruntime/package-summary.html, read on 2026-11-22.
package ai.onnxruntime

import java.nio.ByteBuffer
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.nio.LongBuffer
import java.util.Optional

class OrtException internal constructor(message: String) : Exception(message)

class OrtEnvironment private constructor() : AutoCloseable {
    fun createSession(modelPath: String, options: OrtSession.SessionOptions): OrtSession = declared()

    override fun close(): Unit = declared()

    companion object {
        @JvmStatic
        fun getEnvironment(): OrtEnvironment = declared()
    }
}

class OrtSession private constructor() : AutoCloseable {
    class SessionOptions : AutoCloseable {
        fun setIntraOpNumThreads(numThreads: Int): Unit = declared()

        fun addNnapi(): Unit = declared()

        fun addXnnpack(providerOptions: Map<String, String>): Unit = declared()

        fun addQnn(providerOptions: Map<String, String>): Unit = declared()

        override fun close(): Unit = declared()
    }

    class Result private constructor() : AutoCloseable, Iterable<Map.Entry<String, OnnxValue>> {
        fun get(index: Int): OnnxValue = declared()

        fun get(key: String): Optional<OnnxValue> = declared()

        override fun iterator(): Iterator<Map.Entry<String, OnnxValue>> = declared()

        override fun close(): Unit = declared()
    }

    fun run(inputs: Map<String, OnnxTensorLike>): Result = declared()

    fun getInputNames(): Set<String> = declared()

    fun getOutputNames(): Set<String> = declared()

    override fun close(): Unit = declared()
}

interface OnnxValue : AutoCloseable

abstract class OnnxTensorLike internal constructor() : OnnxValue {
    override fun close(): Unit = declared()
}

class OnnxTensor private constructor() : OnnxTensorLike() {
    fun getFloatBuffer(): FloatBuffer = declared()

    fun getIntBuffer(): IntBuffer = declared()

    fun getLongBuffer(): LongBuffer = declared()

    fun getByteBuffer(): ByteBuffer = declared()

    companion object {
        @JvmStatic
        fun createTensor(env: OrtEnvironment, data: FloatBuffer, shape: LongArray): OnnxTensor = declared()

        @JvmStatic
        fun createTensor(env: OrtEnvironment, data: IntBuffer, shape: LongArray): OnnxTensor = declared()

        @JvmStatic
        fun createTensor(env: OrtEnvironment, data: LongBuffer, shape: LongArray): OnnxTensor = declared()
    }
}

private fun declared(): Nothing = throw UnsupportedOperationException("only declared")
