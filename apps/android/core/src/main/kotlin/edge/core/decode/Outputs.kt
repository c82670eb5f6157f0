package edge.core.decode

import edge.core.image.PlaneView
import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import edge.core.manifest.Layout
import edge.core.manifest.Setting
import edge.core.manifest.TensorSpec
import kotlin.math.exp

/** Read one output of a contract by its name; raises ContractError naming the outputs there are. */
internal class Output(contract: Contract, private val name: String) {
    private val spec: TensorSpec = contract.outputs.firstOrNull { it.name == name } ?: throw ContractError(
        "this task needs an output named '$name'; the contract has " +
            contract.outputs.joinToString { it.name }.ifEmpty { "none" },
    )
    val shape: List<Int> get() = spec.shape
    private val elements = spec.elements

    /** Return the output's values; raises ContractError where it is missing or has another size. */
    fun of(outputs: Map<String, FloatArray>): FloatArray {
        val found = outputs[name] ?: throw ContractError("the model returned no output named '$name'")
        if (found.size.toLong() != elements) {
            throw ContractError("$name has ${found.size} values; its shape $shape takes $elements")
        }
        return found
    }

    /** Return where the planes of an image-like output of batch 1 stand, whatever its layout. */
    fun planes(): List<PlaneView> = when (spec.layout) {
        Layout.NCHW -> List(shape[1]) { PlaneView(shape[3], shape[2], it * shape[2] * shape[3], shape[3], 1) }
        Layout.NHWC -> List(shape[3]) { PlaneView(shape[2], shape[1], it, shape[2] * shape[3], shape[3]) }
        Layout.NONE -> throw ContractError("$name: shape $shape needs a layout, NCHW or NHWC")
    }
}

internal val Contract.settings: Map<String, Setting> get() = postprocess?.settings.orEmpty()

/** Return 1 / (1 + e^−x), with x clipped to ±100. */
internal fun sigmoid(value: Float): Double = 1.0 / (1.0 + exp(-Math.min(Math.max(value.toDouble(), -100.0), 100.0)))
