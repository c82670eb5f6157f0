package edge.core.client

import edge.core.oip.Datatype

/** How an image's axes lie; NONE where they are not an image's. */
enum class Layout { NCHW, NHWC, NONE }

/** Describe one tensor of a contract; every size is fixed and positive. */
data class ContractTensor(
    val name: String,
    val shape: List<Long>,
    val datatype: Datatype = Datatype.FP32,
    val layout: Layout = Layout.NONE,
) {
    init {
        require(name.isNotEmpty()) { "a tensor needs a name" }
        require(shape.all { it >= 1 }) { "$name: shape $shape has a size below 1; every size is fixed and positive" }
        require(layout == Layout.NONE || shape.size == 4) { "$name: layout $layout needs 4 axes, shape is $shape" }
    }

    internal val count: Int get() = shape.fold(1L, Math::multiplyExact).let(Math::toIntExact)
}

/** Fix names, shapes and datatypes of a model's inputs and outputs, as its manifest has them. */
data class Contract(val inputs: List<ContractTensor>, val outputs: List<ContractTensor>) {
    init {
        require(inputs.isNotEmpty()) { "a contract needs at least one input" }
        val names = (inputs + outputs).map { it.name }
        require(names.toSet().size == names.size) { "tensor names must differ: $names" }
    }

    /** Whether the model's one input is one colour picture. */
    val takesPicture: Boolean
        get() {
            val spec = inputs.singleOrNull() ?: return false
            val channels = when (spec.layout) {
                Layout.NCHW -> spec.shape[1]
                Layout.NHWC -> spec.shape[3]
                Layout.NONE -> return false
            }
            return spec.shape[0] == 1L && channels == 3L
        }
}

/** Return the protocol's datatype of a manifest's dtype, such as `float32`; raises IllegalArgumentException. */
fun datatypeOf(dtype: String): Datatype = when (dtype) {
    "float32" -> Datatype.FP32
    "float16" -> Datatype.FP16
    "int64" -> Datatype.INT64
    "int32" -> Datatype.INT32
    "int16" -> Datatype.INT16
    "int8" -> Datatype.INT8
    "uint8" -> Datatype.UINT8
    "bool" -> Datatype.BOOL
    else -> throw IllegalArgumentException("dtype '$dtype' is none of a manifest's")
}
