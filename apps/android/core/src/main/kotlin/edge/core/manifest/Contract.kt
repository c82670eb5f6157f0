package edge.core.manifest

/** Report shapes, dtypes or names that contradict each other. */
class ContractError(message: String) : IllegalArgumentException(message)

enum class DType(val text: String) {
    FLOAT32("float32"),
    FLOAT16("float16"),
    INT64("int64"),
    INT32("int32"),
    INT16("int16"),
    INT8("int8"),
    UINT8("uint8"),
    BOOL("bool"),
}

/** The order of an image's axes; NONE where the axes are not an image's. */
enum class Layout(val text: String) {
    NCHW("NCHW"),
    NHWC("NHWC"),
    NONE(""),
}

/**
 * How a picture is fitted: STRETCH fills the input, LETTERBOX puts the whole picture into its middle, between black
 * bars, CORNER puts it at the upper left, beside grey (128).
 */
enum class Resize(val text: String) {
    LETTERBOX("letterbox"),
    STRETCH("stretch"),
    CORNER("corner"),
}

enum class Colour(val text: String) {
    RGB("RGB"),
    BGR("BGR"),
}

/** A size in pixels. */
data class SizeHw(val height: Int, val width: Int)

/** Describe one tensor. */
data class TensorSpec(
    val name: String,
    val shape: List<Int>,
    val dtype: DType = DType.FLOAT32,
    val layout: Layout = Layout.NONE,
) {
    init {
        if (name.isEmpty()) throw ContractError("a tensor needs a name")
        if (shape.any { it < 1 }) {
            throw ContractError("$name: shape $shape has a size below 1; every size is fixed and positive")
        }
        if (layout != Layout.NONE && shape.size != 4) {
            throw ContractError("$name: layout ${layout.text} needs 4 axes, shape $shape has ${shape.size}")
        }
    }

    /** The number of elements. */
    val elements: Long get() = shape.fold(1L) { product, size -> Math.multiplyExact(product, size.toLong()) }

    /** The (height, width) in pixels of an image tensor; raises ContractError for another. */
    val sizeHw: SizeHw
        get() = when (layout) {
            Layout.NCHW -> SizeHw(shape[2], shape[3])
            Layout.NHWC -> SizeHw(shape[1], shape[2])
            Layout.NONE -> throw ContractError("$name: a tensor of shape $shape has no image layout")
        }
}

/**
 * Turn an 8-bit picture into the first input.
 *
 * value = (pixel / 255 · (range[1] − range[0]) + range[0] − mean) / std, per channel in `colour` order.
 */
data class Preprocess(
    val size: SizeHw,
    val resize: Resize = Resize.STRETCH,
    val colour: Colour = Colour.RGB,
    val range: List<Double> = listOf(0.0, 1.0),
    val mean: List<Double> = listOf(0.0, 0.0, 0.0),
    val std: List<Double> = listOf(1.0, 1.0, 1.0),
) {
    init {
        if (size.height < 1 || size.width < 1) {
            throw ContractError("preprocess.size [${size.height}, ${size.width}] has a side below 1 pixel")
        }
        if (range.size != 2 || mean.size != 3 || std.size != 3) {
            throw ContractError("preprocess has range $range, mean $mean, std $std; 2, 3 and 3 numbers were expected")
        }
        if (std.any { it == 0.0 }) throw ContractError("preprocess.std $std has a zero; every channel is divided by it")
    }
}

/** Name the decoder that turns outputs into a result, and its settings. */
data class Postprocess(val decoder: String, val settings: Map<String, Setting> = emptyMap())

/** A value of a decoder's settings or of a tool's options. */
sealed interface Setting {
    data class Number(val value: Double) : Setting

    data class Text(val value: String) : Setting

    data class Flag(val value: Boolean) : Setting

    data class Numbers(val values: List<Double>) : Setting
}

/** Return a number of the settings, or `otherwise` where it is absent; raises ContractError for another kind. */
fun Map<String, Setting>.number(name: String, otherwise: Double? = null): Double = when (val found = this[name]) {
    is Setting.Number -> found.value
    null -> otherwise ?: throw ContractError("the decoder needs a number '$name' in postprocess.settings")
    else -> throw ContractError("postprocess.settings.$name is $found; a number was expected")
}

/** Return a list of numbers of the settings; raises ContractError where it is absent or of another kind. */
fun Map<String, Setting>.numbers(name: String): List<Double> = when (val found = this[name]) {
    is Setting.Numbers -> found.values
    else -> throw ContractError("postprocess.settings.$name is $found; a list of numbers was expected")
}

/** What goes into a model and what comes out, with names that differ and a picture's size that fits the first input. */
data class Contract(
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec> = emptyList(),
    val task: String = "tensors",
    val preprocess: Preprocess? = null,
    val postprocess: Postprocess? = null,
    val labels: List<String> = emptyList(),
) {
    init {
        if (inputs.isEmpty()) throw ContractError("a contract needs at least one input")
        val names = (inputs + outputs).map { it.name }
        val twice = names.groupingBy { it }.eachCount().filterValues { it > 1 }.keys.sorted()
        if (twice.isNotEmpty()) throw ContractError("tensor names must differ, used twice: ${twice.joinToString()}")
        val first = inputs[0]
        if (preprocess != null && first.layout != Layout.NONE && first.sizeHw != preprocess.size) {
            throw ContractError("preprocess.size ${preprocess.size} differs from ${first.name}'s ${first.sizeHw}")
        }
    }
}
