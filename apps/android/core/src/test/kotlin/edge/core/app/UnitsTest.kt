package edge.core.app

import kotlin.test.assertEquals
import org.junit.Test

class UnitsTest {
    private val all = listOf("npu", "gpu", "cpu")

    @Test
    fun aTargetsWaysFollowTheOrderOfTheSettings() {
        assertEquals(listOf(Way(Runtime.LITERT, "gpu"), Way(Runtime.LITERT, "cpu")), waysOf("litert-cpu", all))
        assertEquals(listOf(Way(Runtime.LITERT, "cpu"), Way(Runtime.LITERT, "gpu")), waysOf("litert-cpu", all.reversed()))
        assertEquals(emptyList(), waysOf("litert-cpu", listOf("npu")))
    }

    @Test
    fun whatIsCompiledInLeavesOneUnit() {
        assertEquals(listOf(Way(Runtime.EXECUTORCH, "cpu")), waysOf("executorch-xnnpack", all))
        assertEquals(listOf(Way(Runtime.EXECUTORCH, "gpu")), waysOf("executorch-vulkan", all))
        assertEquals(listOf(Way(Runtime.EXECUTORCH, "npu")), waysOf("executorch-qnn:SM8650", all))
        assertEquals(listOf(Way(Runtime.LITERT, "npu")), waysOf("litert-google-tensor:G5", all))
        assertEquals(listOf(Way(Runtime.ONNX, "cpu")), waysOf("onnx-cpu", all))
        assertEquals(listOf(Way(Runtime.ONNX, "npu")), waysOf("onnx-qnn:SM8650", all))
    }

    @Test
    fun whatNoAndroidRuntimeOfTheAppOpensHasNoWay() {
        for (target in listOf("coreml", "coreai", "mediapipe-task", "server", "executorch-coreml", "executorch-ethos-u:u85-256", "litert")) {
            assertEquals(emptyList(), waysOf(target, all), target)
        }
    }
}
