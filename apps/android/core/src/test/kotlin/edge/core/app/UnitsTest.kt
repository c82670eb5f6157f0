package edge.core.app

import edge.core.backend.Candidate
import edge.core.manifest.readManifest
import java.io.File
import kotlin.test.assertEquals
import org.junit.Test

class UnitsTest {
    private val all = listOf("npu", "gpu", "cpu")

    @Test
    fun aTargetsWaysFollowTheOrderOfTheSettings() {
        assertEquals(listOf(Way(Runtime.LITERT, "gpu"), Way(Runtime.LITERT, "cpu")), waysOf("litert-cpu", all))
        assertEquals(
            listOf(Way(Runtime.LITERT, "cpu"), Way(Runtime.LITERT, "gpu")),
            waysOf("litert-cpu", all.reversed()),
        )
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
        val others = listOf("coreml", "coreai", "mediapipe-task", "server", "executorch-coreml", "litert")
        for (target in others + "executorch-ethos-u:u85-256") {
            assertEquals(emptyList(), waysOf(target, all), target)
        }
    }

    @Test
    fun artifactsAreTriedInTheOrderOfTheUnits() {
        val text = """
            {"model": "m", "task": "t", "target": "TARGET", "precision": "fp32", "files": [], "outputs": [],
             "steps": [],
             "inputs": [{"name": "x", "shape": [1]}], "source": {"sha256": "0"}, "needs": {"min_runtime": "1"}}
        """
        val targets = listOf("coreml", "onnx-cpu", "executorch-qnn:SM8650", "litert-cpu", "executorch-xnnpack")
        val candidates = targets.map { Candidate(File("."), readManifest(text.replace("TARGET", it))) }
        fun order(vararg units: String) = inOrder(candidates, units.toList()).map { it.manifest.target }
        assertEquals(
            listOf("executorch-qnn:SM8650", "litert-cpu", "onnx-cpu", "executorch-xnnpack", "coreml"),
            order("npu", "gpu", "cpu"),
        )
        assertEquals(
            listOf("onnx-cpu", "litert-cpu", "executorch-xnnpack", "coreml", "executorch-qnn:SM8650"),
            order("cpu"),
        )
    }
}
