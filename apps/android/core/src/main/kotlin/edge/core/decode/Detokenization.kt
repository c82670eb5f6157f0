package edge.core.decode

import edge.core.image.PlaneView
import edge.core.manifest.Contract
import edge.core.manifest.ContractError

private const val DECODER = "picture"
private const val CHANNELS = 3

/** Turn tokens into a picture; the decoder `picture` takes the first output's three planes of 0…1 as RGB. */
class DetokenizationTask(contract: Contract) {
    private val output: Output
    private val planes: List<PlaneView>

    init {
        val first = contract.outputs.firstOrNull()
        if (first == null || contract.postprocess?.decoder != DECODER) {
            throw ContractError("detokenization needs an output and the decoder $DECODER")
        }
        output = Output(contract, first.name)
        planes = output.planes()
        if (planes.size != CHANNELS) throw ContractError("${first.name}: a picture has 3 planes, not ${planes.size}")
    }

    val width: Int get() = planes[0].width

    val height: Int get() = planes[0].height

    /** Round the planes to 8 bits into `into` (height · width), opaque ARGB. */
    fun decode(outputs: Map<String, FloatArray>, into: IntArray) {
        val values = output.of(outputs)
        require(into.size >= width * height) { "$width × $height pixels do not fit ${into.size}" }
        for (y in 0 until height) {
            for (x in 0 until width) {
                var colour = 0xff
                for (view in planes) colour = colour shl 8 or level(values[view.at(x, y)])
                into[y * width + x] = colour
            }
        }
    }

    private fun level(value: Float): Int = Math.rint((Math.min(Math.max(value, 0f), 1f) * 255f).toDouble()).toInt()
}
