package edge.app.engines

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import edge.core.app.OpenEngine
import edge.core.manifest.DType
import edge.core.manifest.Manifest
import edge.core.manifest.TensorSpec
import java.io.File

private const val RUNTIME = "LiteRT"

/** Run a .tflite on one unit: `cpu`, `gpu` or `npu`. One thread at a time. */
class LiteRtEngine(file: File, manifest: Manifest, unit: String, threads: Int) : OpenEngine {
    private val inputs = manifest.inputs
    private val outputs = manifest.outputs
    private val results = outputs.associate { it.name to FloatArray(it.count) }
    private val whole = inputs.map { if (it.dtype == DType.INT32) IntArray(it.count) else null }
    private val model = opened(file, unit, threads)
    private val inputBuffers = model.createInputBuffers()
    private val outputBuffers = model.createOutputBuffers()

    init {
        if (inputBuffers.size != inputs.size || outputBuffers.size != outputs.size) {
            close()
            throw EngineError(
                "${file.name} has ${inputBuffers.size} inputs and ${outputBuffers.size} outputs; " +
                    "the manifest names ${inputs.size} and ${outputs.size}",
            )
        }
    }

    override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
        try {
            for (index in inputBuffers.indices) {
                val spec = this.inputs[index]
                write(inputBuffers[index], spec, inputs.of(spec), whole[index])
            }
            model.run(inputBuffers, outputBuffers)
            for (index in outputBuffers.indices) read(outputBuffers[index], outputs[index])
        } catch (error: LiteRtException) {
            throw EngineError("$RUNTIME failed: ${error.message}", error)
        }
        return results
    }

    override fun close() {
        (inputBuffers + outputBuffers).forEach { it.close() }
        model.close()
    }

    private fun write(buffer: TensorBuffer, spec: TensorSpec, values: FloatArray, numbers: IntArray?) {
        when {
            spec.dtype == DType.FLOAT32 -> buffer.writeFloat(values)
            numbers != null -> {
                for (index in values.indices) numbers[index] = values[index].toInt()
                buffer.writeInt(numbers)
            }
            else -> unsupported(spec, RUNTIME)
        }
    }

    private fun read(buffer: TensorBuffer, spec: TensorSpec) {
        val into = results.getValue(spec.name)
        val count = when (spec.dtype) {
            DType.FLOAT32 -> buffer.readFloat().also { if (it.size == into.size) it.copyInto(into) }.size
            DType.INT32 -> buffer.readInt().also { if (it.size == into.size) it.toFloats(into) }.size
            else -> unsupported(spec, RUNTIME)
        }
        if (count != into.size) throw EngineError("${spec.name} has $count values; the manifest says ${spec.shape}")
    }
}

private fun opened(file: File, unit: String, threads: Int): CompiledModel {
    val accelerator = when (unit) {
        "npu" -> Accelerator.NPU
        "gpu" -> Accelerator.GPU
        "cpu" -> Accelerator.CPU
        else -> throw EngineError("$RUNTIME has no unit '$unit'; it has npu, gpu and cpu")
    }
    val options = CompiledModel.Options(accelerator)
    if (accelerator == Accelerator.CPU) options.cpuOptions = CompiledModel.CpuOptions(numThreads = threads)
    return try {
        CompiledModel.create(file.path, options)
    } catch (error: LiteRtException) {
        throw EngineError("$RUNTIME cannot open ${file.name} on the $unit: ${error.message}", error)
    }
}
