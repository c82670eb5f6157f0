package edge.core.app

import edge.core.client.Engine
import edge.core.decode.DetokenizationTask
import edge.core.image.Frame
import edge.core.image.Picture
import edge.core.image.Preprocessor
import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import edge.core.manifest.DType
import edge.core.manifest.Layout
import edge.core.manifest.Preprocess
import edge.core.manifest.TensorSpec
import edge.core.manifest.number

/** Token ids of a picture, and how many bytes they take packed and the picture takes as RGB. */
class Codes(val ids: IntArray, val packedBytes: Int, val pictureBytes: Int)

/**
 * Turn a picture into codes with one model, and codes into a picture with another.
 *
 * The encoder has one picture as input and ids as its first output; the decoder takes as many ids as its first input.
 * Raises ContractError where the two do not fit.
 */
class TokenizerDemo(
    private val encoder: Contract,
    private val encoding: Engine,
    private val decoder: Contract,
    private val decoding: Engine,
) {
    private val input = encoder.inputs.single()
    private val ids = encoder.outputs.firstOrNull() ?: throw ContractError("the encoder has no output")
    private val tokens = decoder.inputs.single()
    private val task = DetokenizationTask(decoder)
    private val preprocess = encoder.preprocess ?: throw ContractError("${input.name}: the encoder has no preprocess")
    private val preprocessor = Preprocessor(input, preprocess)
    private val upright = Preprocessor(
        TensorSpec(
            "picture",
            listOf(1, preprocess.size.height, preprocess.size.width, 3),
            DType.UINT8,
            Layout.NHWC,
        ),
        Preprocess(preprocess.size, preprocess.resize, range = listOf(0.0, 255.0)),
    )
    private val values = FloatArray(Math.toIntExact(input.elements))
    private val frame = Frame()
    private val codes = decoder.postprocess?.settings?.number("codes")
        ?: throw ContractError("the decoder has no settings")

    init {
        if (ids.elements != tokens.elements) {
            throw ContractError("the encoder makes ${ids.elements} codes, the decoder takes ${tokens.elements}")
        }
    }

    /** The picture as the encoder saw it last, (side, side) of opaque ARGB. */
    val seen: IntArray = IntArray(preprocess.size.height * preprocess.size.width)

    /** The width of `seen` in pixels. */
    val side: Int get() = preprocess.size.width

    val decodedWidth: Int get() = task.width

    /** Return a picture's codes; raises ContractError for ids outside the codebook, and what the engine raises. */
    fun encode(picture: Picture): Codes {
        see(picture)
        preprocessor.run(picture, null, values, frame)
        val outputs = encoding.run(mapOf(input.name to values))
        val found = outputs[ids.name] ?: throw ContractError("the encoder returned no '${ids.name}'")
        val numbers = IntArray(found.size) { id(found[it]) }
        val bits = 32 - Integer.numberOfLeadingZeros(codes.toInt() - 1)
        return Codes(numbers, (numbers.size * bits + 7) / 8, seen.size * 3)
    }

    /** Return the decoded picture, `decodedWidth` wide, opaque ARGB; raises what the engine raises. */
    fun decode(codes: Codes): IntArray {
        val outputs = decoding.run(mapOf(tokens.name to FloatArray(codes.ids.size) { codes.ids[it].toFloat() }))
        return IntArray(task.width * task.height).also { task.decode(outputs, it) }
    }

    private fun see(picture: Picture) {
        val rgb = ByteArray(seen.size * 3)
        upright.run(picture, null, rgb, frame)
        for (index in seen.indices) {
            val at = index * 3
            seen[index] = (0xff shl 24) or (byte(rgb[at]) shl 16) or (byte(rgb[at + 1]) shl 8) or byte(rgb[at + 2])
        }
    }

    private fun byte(value: Byte): Int = value.toInt() and 0xff

    private fun id(value: Float): Int {
        if (!(value >= 0 && value < codes)) throw ContractError("the code $value; 0 to ${codes.toInt() - 1} were expected")
        return value.toInt()
    }

    companion object {
        /** The tasks of the two models' manifests. */
        const val ENCODER: String = "tokenization"
        const val DECODER: String = "detokenization"
    }
}
