package edge.core.client

import edge.core.manifest.Contract
import edge.core.oip.PictureRegion
import edge.core.oip.pictureTensor
import edge.core.oip.Tensor

/**
 * A picture that may go up as a file; `encode` returns it as JPEG, PNG or WebP, made from pixels so that it holds no
 * metadata. It is called at most once, and never where nothing may be sent. Width and height are in pixels.
 */
class PictureFile(val width: Int, val height: Int, val region: PictureRegion? = null, encode: () -> ByteArray) {
    internal val encoded: ByteArray by lazy(encode)

    init {
        require(width > 0 && height > 0) { "a picture of $width x $height pixels is none" }
    }

    internal fun tensor(name: String): Tensor = pictureTensor(name, encoded, region)
}

/**
 * A call's input: `tensors` makes the inputs of a contract (row-major), once for each contract; `decode` makes the
 * result of a contract's outputs. Both run on threads of the runner's. With a `picture` a server may be sent that
 * instead.
 */
class Input<R>(
    private val tensors: (Contract) -> Map<String, FloatArray>,
    internal val picture: PictureFile? = null,
    internal val decode: (outputs: Map<String, FloatArray>, contract: Contract) -> R,
) {
    private val prepared = HashMap<Contract, Map<String, FloatArray>>()

    /** Return the contract's inputs; raises ContractError for tensors that do not fit. */
    @Synchronized
    internal fun inputs(contract: Contract): Map<String, FloatArray> = prepared.getOrPut(contract) {
        tensors(contract).also { check(it, contract) }
    }

    /** Return in which form the input goes up. */
    internal fun travels(contract: Contract, policy: Policy): Upload =
        if (picture != null && contract.takesPicture) policy.upload else Upload.TENSORS

    companion object {
        /** Return named tensors as an input whose result is the model's outputs. */
        fun of(tensors: Map<String, FloatArray>): Input<Map<String, FloatArray>> =
            Input(tensors = { tensors }, decode = { outputs, _ -> outputs })
    }
}

private fun check(given: Map<String, FloatArray>, contract: Contract) {
    for (spec in contract.inputs) {
        val found = given[spec.name]
        if (found?.size != spec.count) {
            val shown = if (found == null) "missing" else "${found.size} values"
            throw ContractError("input ${spec.name} is $shown; the model takes ${spec.datatype} ${spec.shape}")
        }
    }
    val names = contract.inputs.map { it.name }
    given.keys.firstOrNull { it !in names }?.let { throw ContractError("the model has no input $it; it has $names") }
}
