package edge.core.app

import edge.core.manifest.Contract
import edge.core.manifest.Layout
import edge.core.manifest.TensorSpec

/** Say whether two artifacts of a model take and return the same, but for where an image's channels stand. */
fun fits(one: Contract, other: Contract): Boolean = neutral(one) == neutral(other)

/**
 * Return an engine that takes and returns tensors as `outer` lays them out, of one that wants them as `inner` does.
 *
 * The two fit; an engine of the same layouts is returned as it is.
 */
fun relaid(engine: OpenEngine, outer: Contract, inner: Contract): OpenEngine {
    require(fits(outer, inner)) { "the contracts differ in more than layouts" }
    val inputs = moves(outer.inputs, inner.inputs)
    val outputs = moves(inner.outputs, outer.outputs)
    return if (inputs.isEmpty() && outputs.isEmpty()) engine else Relaid(engine, inputs, outputs)
}

private class Relaid(
    private val engine: OpenEngine,
    private val inputs: Map<String, Move>,
    private val outputs: Map<String, Move>,
) : OpenEngine {
    override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> =
        moved(engine.run(moved(inputs, this.inputs)), outputs)

    override fun close() = engine.close()

    private fun moved(tensors: Map<String, FloatArray>, moves: Map<String, Move>) =
        tensors.mapValues { (name, values) -> moves[name]?.of(values) ?: values }
}

/** Brings a batch of `count` images' `rows` × `columns` values into columns first, in memory of its own. */
private class Move(private val count: Int, private val rows: Int, private val columns: Int) {
    private val moved = FloatArray(count * rows * columns)

    fun of(values: FloatArray): FloatArray {
        require(values.size == moved.size) { "${values.size} values; $count × $rows × $columns were expected" }
        for (image in 0 until count) {
            val first = image * rows * columns
            for (row in 0 until rows) {
                for (column in 0 until columns) {
                    moved[first + column * rows + row] = values[first + row * columns + column]
                }
            }
        }
        return moved
    }
}

private fun moves(from: List<TensorSpec>, to: List<TensorSpec>): Map<String, Move> =
    from.zip(to).filter { (a, b) -> a.layout != b.layout }.associate { (a, _) -> a.name to move(a) }

private fun move(from: TensorSpec): Move {
    val (count, channels, height, width) = neutral(from).shape
    val pixels = height * width
    return if (from.layout == Layout.NCHW) Move(count, channels, pixels) else Move(count, pixels, channels)
}

private fun neutral(contract: Contract): Contract =
    contract.copy(inputs = contract.inputs.map(::neutral), outputs = contract.outputs.map(::neutral))

private fun neutral(spec: TensorSpec): TensorSpec {
    if (spec.layout != Layout.NHWC) return spec
    val (count, height, width, channels) = spec.shape
    return spec.copy(shape = listOf(count, channels, height, width), layout = Layout.NCHW)
}
