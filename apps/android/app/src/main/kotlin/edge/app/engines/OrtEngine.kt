package edge.app.engines

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import edge.core.app.OpenEngine
import edge.core.manifest.DType
import edge.core.manifest.Manifest
import edge.core.manifest.TensorSpec
import java.io.File

private const val RUNTIME = "ONNX Runtime"

/** Run a .onnx on one unit: `cpu`, or `npu` through QNN. One thread at a time. */
class OrtEngine(file: File, manifest: Manifest, unit: String, threads: Int) : OpenEngine {
    private val inputs = manifest.inputs
    private val outputs = manifest.outputs
    private val cells = inputs.map { cell(it, RUNTIME) }
    private val results = outputs.associate { it.name to FloatArray(it.count) }
    private val environment = OrtEnvironment.getEnvironment()
    private val session = opened(environment, file, unit, threads)
    private val tensors: Map<String, OnnxTensor>

    init {
        val named = session.getInputNames()
        val strange = inputs.firstOrNull { it.name !in named }
        if (strange != null) {
            session.close()
            throw EngineError(
                "${file.name} has the inputs ${named.joinToString()}; the manifest names '${strange.name}'",
            )
        }
        // The tensors share the cells' memory: filling a cell is all that a run needs.
        tensors = inputs.indices.associate { inputs[it].name to tensor(cells[it], inputs[it]) }
    }

    override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
        for (index in cells.indices) cells[index].fill(inputs.of(this.inputs[index]))
        try {
            session.run(tensors).use { found -> for (spec in outputs) read(found, spec) }
        } catch (error: OrtException) {
            throw EngineError("$RUNTIME failed: ${error.message}", error)
        }
        return results
    }

    override fun close() {
        tensors.values.forEach { it.close() }
        session.close()
    }

    private fun tensor(cell: Cell, spec: TensorSpec): OnnxTensor = when (cell) {
        is FloatCell -> OnnxTensor.createTensor(environment, cell.buffer, spec.longShape)
        is IntCell -> OnnxTensor.createTensor(environment, cell.buffer, spec.longShape)
        is LongCell -> OnnxTensor.createTensor(environment, cell.buffer, spec.longShape)
    }

    private fun read(found: OrtSession.Result, spec: TensorSpec) {
        val into = results.getValue(spec.name)
        val tensor = found.get(spec.name).orElse(null) as? OnnxTensor
            ?: throw EngineError("the model returned no tensor named '${spec.name}'")
        val count = when (spec.dtype) {
            DType.FLOAT32 -> tensor.getFloatBuffer().let { numbers ->
                val count = numbers.remaining()
                if (count == into.size) numbers.get(into)
                count
            }
            DType.INT32 -> tensor.getIntBuffer().let { numbers ->
                if (numbers.remaining() == into.size) {
                    for (index in into.indices) into[index] = numbers.get(index).toFloat()
                }
                numbers.remaining()
            }
            DType.INT64 -> tensor.getLongBuffer().let { numbers ->
                if (numbers.remaining() == into.size) {
                    for (index in into.indices) into[index] = numbers.get(index).toFloat()
                }
                numbers.remaining()
            }
            else -> unsupported(spec, RUNTIME)
        }
        if (count != into.size) throw EngineError("${spec.name} has $count values; the manifest says ${spec.shape}")
    }
}

private fun opened(environment: OrtEnvironment, file: File, unit: String, threads: Int): OrtSession {
    try {
        OrtSession.SessionOptions().use { options ->
            options.setIntraOpNumThreads(threads)
            when (unit) {
                "cpu" -> Unit
                "npu" -> options.addQnn(mapOf("backend_path" to "libQnnHtp.so"))
                else -> throw EngineError("$RUNTIME has no unit '$unit' in this app; it has npu and cpu")
            }
            return environment.createSession(file.path, options)
        }
    } catch (error: OrtException) {
        throw EngineError("$RUNTIME cannot open ${file.name} on the $unit: ${error.message}", error)
    }
}
