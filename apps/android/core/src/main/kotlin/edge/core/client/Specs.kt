package edge.core.client

import edge.core.manifest.Contract
import edge.core.manifest.Layout
import edge.core.manifest.TensorSpec
import edge.core.oip.Datatype
import edge.core.oip.datatypeOf

// What the client asks of a manifest's tensors.

internal val TensorSpec.datatype: Datatype get() = datatypeOf(dtype)

/** The shape in the protocol's numbers. */
internal val TensorSpec.sizes: List<Long> get() = shape.map { it.toLong() }

/** The number of values; raises ArithmeticException where it is more than an array holds. */
internal val TensorSpec.count: Int get() = Math.toIntExact(elements)

/** Whether the model's one input is one colour picture. */
internal val Contract.takesPicture: Boolean
    get() {
        val spec = inputs.singleOrNull() ?: return false
        val channels = when (spec.layout) {
            Layout.NCHW -> spec.shape[1]
            Layout.NHWC -> spec.shape[3]
            Layout.NONE -> return false
        }
        return spec.shape[0] == 1 && channels == 3
    }
