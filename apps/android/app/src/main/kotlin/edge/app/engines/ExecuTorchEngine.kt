package edge.app.engines

import edge.core.app.OpenEngine
import edge.core.manifest.DType
import edge.core.manifest.Manifest
import edge.core.manifest.TensorSpec
import java.io.File
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

private const val RUNTIME = "ExecuTorch"

/** Run a .pte; the backend is compiled into it. One thread at a time. */
class ExecuTorchEngine(file: File, manifest: Manifest, threads: Int) : OpenEngine {
    private val inputs = manifest.inputs
    private val outputs = manifest.outputs
    private val cells = inputs.map { cell(it, RUNTIME) }
    private val results = outputs.associate { it.name to FloatArray(it.count) }
    private val module = try {
        Module.load(file.path, Module.LOAD_MODE_MMAP, threads).also { it.loadMethod("forward") }
    } catch (error: RuntimeException) {
        throw EngineError("$RUNTIME cannot open ${file.name}: ${error.message}", error)
    }
    // The tensors share the cells' memory: filling a cell is all that a run needs.
    private val values = Array(inputs.size) { EValue.from(tensor(cells[it], inputs[it])) }

    override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
        for (index in cells.indices) cells[index].fill(inputs.of(this.inputs[index]))
        val found = try {
            module.forward(*values)
        } catch (error: RuntimeException) {
            throw EngineError("$RUNTIME failed: ${error.message}", error)
        }
        if (found.size != outputs.size) {
            throw EngineError("the model returned ${found.size} values; the manifest names ${outputs.size} outputs")
        }
        for (index in found.indices) read(found[index].toTensor(), outputs[index])
        return results
    }

    override fun close() = module.close()

    private fun tensor(cell: Cell, spec: TensorSpec): Tensor = when (cell) {
        is FloatCell -> Tensor.fromBlob(cell.buffer, spec.longShape)
        is IntCell -> Tensor.fromBlob(cell.buffer, spec.longShape)
        is LongCell -> Tensor.fromBlob(cell.buffer, spec.longShape)
    }

    private fun read(tensor: Tensor, spec: TensorSpec) {
        val into = results.getValue(spec.name)
        val shape = tensor.shape()
        if (!shape.contentEquals(spec.longShape)) {
            throw EngineError("${spec.name} has shape ${shape.toList()}; the manifest says ${spec.shape}")
        }
        when (spec.dtype) {
            DType.FLOAT32 -> tensor.dataAsFloatArray.copyInto(into)
            DType.INT32 -> tensor.dataAsIntArray.toFloats(into)
            DType.INT64 -> tensor.dataAsLongArray.toFloats(into)
            else -> unsupported(spec, RUNTIME)
        }
    }
}
