package edge.core.app

import edge.core.manifest.DType
import edge.core.manifest.TensorSpec
import java.util.Random

/** Return seeded random tensors by name: floats from 0 to 1, integers 0 and 1, as the profiler feeds models. */
fun randomInputs(specs: List<TensorSpec>, seed: Long): Map<String, FloatArray> {
    val random = Random(seed)
    return specs.associate { spec ->
        val whole = spec.dtype != DType.FLOAT32 && spec.dtype != DType.FLOAT16
        spec.name to FloatArray(Math.toIntExact(spec.elements)) {
            if (whole) random.nextInt(2).toFloat() else random.nextFloat()
        }
    }
}
