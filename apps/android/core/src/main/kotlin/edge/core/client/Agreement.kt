package edge.core.client

import edge.core.manifest.Contract
import edge.core.manifest.Layout
import edge.core.manifest.TensorSpec
import edge.core.oip.AnswerError
import edge.core.oip.ModelMetadata
import edge.core.oip.Tensor
import edge.core.oip.TensorMetadata
import edge.core.oip.fits
import edge.core.oip.printable
import edge.core.oip.tensorOf

private val TO_NHWC = listOf(0, 2, 3, 1)
private val TO_NCHW = listOf(0, 3, 1, 2)

/** By tensor: the permutation of its axes into the other side's layout, null where they lie alike. */
internal typealias Axes = Map<String, List<Int>?>

/** A server's model that fits a contract; `pictures` says whether it takes encoded ones. */
internal class Served(
    val metadata: ModelMetadata,
    val contract: Contract,
    val pictures: Boolean,
    val toServer: Axes,
    val fromServer: Axes,
) {
    /** The outputs that are read, as the server declares them. */
    val outputs: List<TensorMetadata> get() = metadata.outputs.filter { it.name in fromServer }

    /** Return inputs (row-major, of the contract's shapes) as the server takes them. */
    fun tensors(inputs: Map<String, FloatArray>): List<Tensor> = contract.inputs.map { spec ->
        val axes = toServer[spec.name]
        val values = inputs.getValue(spec.name)
        val shape = if (axes == null) spec.sizes else axes.map { spec.sizes[it] }
        val laid = if (axes == null) values else permuted(values, spec.sizes, axes)
        try {
            tensorOf(spec.name, spec.datatype, shape, laid)
        } catch (error: IllegalArgumentException) {
            throw ContractError("input ${spec.name}: ${error.message}")
        }
    }

    /** Return outputs as the contract has them; raises AnswerError for other shapes than were asked for. */
    fun arrays(outputs: Map<String, Tensor>): Map<String, FloatArray> = contract.outputs.associate { spec ->
        val found = outputs[spec.name] ?: throw AnswerError("output ${spec.name} is missing")
        val axes = fromServer[spec.name]
        val shape = if (axes == null) found.shape else axes.map { found.shape[it] }
        if (shape != spec.sizes) {
            throw AnswerError("output ${spec.name} is ${found.shape}; ${spec.shape} was asked for")
        }
        spec.name to if (axes == null) found.floats() else permuted(found.floats(), found.shape, axes)
    }
}

/**
 * Match names, types and shapes; images may lie channels first or last. Raises ContractError with the difference.
 *
 * The server may have more outputs, but no more inputs.
 */
internal fun checkContract(metadata: ModelMetadata, contract: Contract): Served {
    val inputs = match(contract.inputs, metadata.inputs, "input")
    val outputs = match(contract.outputs, metadata.outputs, "output")
    metadata.inputs.firstOrNull { it.name !in inputs }?.let {
        throw ContractError("the server's ${printable(metadata.name, 80)} also wants input ${printable(it.name, 80)}")
    }
    val pictures = metadata.inputs.singleOrNull()?.takesPictures == true
    return Served(metadata, contract, pictures, inputs, outputs.mapValues { (_, axes) -> axes?.let(::inverse) })
}

/** Return, by name, how this side's axes are permuted into the server's. */
private fun match(own: List<TensorSpec>, theirs: List<TensorMetadata>, word: String): Axes {
    val known = theirs.associateBy { it.name }
    return own.associate { it.name to axes(it, known[it.name], word) }
}

private fun axes(mine: TensorSpec, theirs: TensorMetadata?, word: String): List<Int>? {
    val wanted = "${mine.datatype} ${mine.shape}"
    if (theirs == null) {
        throw ContractError("the server's model has no $word ${mine.name} ($wanted); is it another model?")
    }
    val other = when (mine.layout) {
        Layout.NCHW -> listOf(TO_NHWC)
        Layout.NHWC -> listOf(TO_NCHW)
        Layout.NONE -> emptyList()
    }
    for (axes in listOf<List<Int>?>(null) + other) {
        val shape = if (axes == null) mine.sizes else axes.map { mine.sizes[it] }
        val rows = shape.firstOrNull()?.coerceAtMost(Int.MAX_VALUE.toLong())?.toInt() ?: 1
        if (theirs.datatype == mine.datatype && fits(shape, theirs.shape, rows)) return axes
    }
    throw ContractError(
        "$word ${mine.name} is $wanted here and ${theirs.datatype} ${theirs.shape} on the server; is it another model?",
    )
}

private fun inverse(axes: List<Int>): List<Int> = axes.indices.map { axes.indexOf(it) }

/** Return values of 4 axes with the axes in another order. */
internal fun permuted(values: FloatArray, shape: List<Long>, axes: List<Int>): FloatArray {
    val sizes = shape.map { it.toInt() }
    val strides = IntArray(4).also { it[3] = 1 }
    for (axis in 2 downTo 0) strides[axis] = strides[axis + 1] * sizes[axis + 1]
    val (a, b, c, d) = axes
    val found = FloatArray(values.size)
    var at = 0
    for (i in 0 until sizes[a]) for (j in 0 until sizes[b]) for (k in 0 until sizes[c]) {
        var from = i * strides[a] + j * strides[b] + k * strides[c]
        repeat(sizes[d]) {
            found[at++] = values[from]
            from += strides[d]
        }
    }
    return found
}
