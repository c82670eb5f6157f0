package edge.core.app

import edge.core.client.Engine
import edge.core.image.Picture
import edge.core.image.Times
import edge.core.image.Turn
import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import edge.core.manifest.DType
import edge.core.manifest.Layout
import edge.core.manifest.Postprocess
import edge.core.manifest.Preprocess
import edge.core.manifest.Setting
import edge.core.manifest.SizeHw
import edge.core.manifest.TensorSpec
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import org.junit.Test

private const val SIDE = 8

/** A model that is told what it returns; stands for a phone's runtime, which cannot exist here. */
private class Told(private val outputs: (Map<String, FloatArray>) -> Map<String, FloatArray>) : Engine {
    var runs = 0

    override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
        runs++
        return outputs(inputs)
    }
}

class PipelinesTest {
    private val image = TensorSpec("image", listOf(1, 3, SIDE, SIDE), layout = Layout.NCHW)
    private val plain = Preprocess(SizeHw(SIDE, SIDE))
    private val picture = Picture(16, 8, ByteArray(16 * 8 * 3) { if (it % 48 < 24) 0 else -1 })

    private fun contract(task: String, vararg outputs: TensorSpec, decoder: String? = null) =
        Contract(listOf(image), outputs.toList(), task, plain, decoder?.let { Postprocess(it) }, listOf("thing"))

    @Test
    fun aMaskIsColouredWhereTheModelIsSure() {
        val mask = TensorSpec("mask", listOf(1, 1, SIDE, SIDE), layout = Layout.NCHW)
        // The model says what it sees: the right half is white.
        val engine = Told { inputs -> mapOf("mask" to inputs.getValue("image").copyOf(SIDE * SIDE)) }
        val pipeline = pipelineOf(ReadyModel(contract("segmentation", mask, decoder = "probability"), engine), null)
        val times = Times()
        val scene = pipeline.look(picture, Turn.NONE, 0, times)
        assertEquals(16 to 8, scene.width to scene.height)
        assertTrue(scene.hasLayer)
        assertEquals(0, scene.layer[1] ushr 24)
        assertTrue(scene.layer[14] ushr 24 > 80)
        assertEquals(1, times.count)
        val turned = pipeline.look(picture, Turn.QUARTER, 1, times)
        assertEquals(8 to 16, turned.width to turned.height)
    }

    @Test
    fun theDetectorRunsOnlyWhileNobodyIsFollowed() {
        val boxes = TensorSpec("boxes", listOf(1, 1, 12))
        val scores = TensorSpec("scores", listOf(1, 1, 1))
        val settings = mapOf(
            "strides" to Setting.Numbers(listOf(8.0)),
            "anchors_per_cell" to Setting.Numbers(listOf(1.0)),
        )
        val detection =
            Contract(listOf(image), listOf(boxes, scores), "pose-detection", plain, Postprocess("ssd", settings))
        var found = 5f
        val box = floatArrayOf(0f, 0f, 4f, 4f, 0f, 0f, 0f, -3f, 0f, 0f, 0f, -3f)
        val detector = Told { mapOf("boxes" to box, "scores" to floatArrayOf(found)) }
        val landmarks = TensorSpec("landmarks", listOf(1, 195))
        val presence = TensorSpec("presence", listOf(1, 1))
        val world = TensorSpec("world", listOf(1, 117))
        var present = 0.9f
        val points = FloatArray(195) { if (it % 5 < 2) (it % 7).toFloat() else 3f }
        val placer = Told {
            mapOf("landmarks" to points, "presence" to floatArrayOf(present), "world" to FloatArray(117))
        }
        val pipeline = pipelineOf(
            ReadyModel(contract("pose-landmarks", landmarks, presence, world, decoder = "landmarks"), placer),
            ReadyModel(detection, detector),
        )
        repeat(3) { assertTrue(pipeline.look(picture, Turn.NONE, it * 33_000_000L, Times()).pose.found) }
        assertEquals(1 to 3, detector.runs to placer.runs)
        present = 0.1f
        assertFalse(pipeline.look(picture, Turn.NONE, 99_000_000L, Times()).pose.found)
        found = -5f
        assertFalse(pipeline.look(picture, Turn.NONE, 132_000_000L, Times()).pose.found)
        assertEquals(2 to 4, detector.runs to placer.runs)
    }

    @Test
    fun otherTasksAndMissingPartsAreRefused() {
        val model = ReadyModel(contract("detokenization"), Told { it })
        assertTrue("detokenization" in assertFailsWith<ContractError> { pipelineOf(model, null) }.message.orEmpty())
        val landmarks = ReadyModel(contract("pose-landmarks"), Told { it })
        assertTrue("detector" in assertFailsWith<ContractError> { pipelineOf(landmarks, null) }.message.orEmpty())
    }

    @Test
    fun aPhotoBecomesCodesAndCodesAPicture() {
        val codes = TensorSpec("codes", listOf(1, 4), DType.INT32)
        val decoded = TensorSpec("image", listOf(1, 3, 2, 2), layout = Layout.NCHW)
        val settings = mapOf("codes" to Setting.Number(4096.0))
        val decoder = Contract(
            listOf(TensorSpec("tokens", listOf(1, 4), DType.INT32)),
            listOf(decoded),
            "detokenization",
            postprocess = Postprocess("picture", settings),
        )
        var first = 7f
        val encoding = Told { mapOf("codes" to floatArrayOf(first, 0f, 4095f, 1f)) }
        val decoding = Told { inputs ->
            val tokens = inputs.getValue("tokens")
            mapOf("image" to FloatArray(12) { if (tokens[it % 4] > 5f) 1f else 0f })
        }
        val demo = TokenizerDemo(contract("tokenization", codes), encoding, decoder, decoding)
        val found = demo.encode(picture)
        assertEquals(listOf(7, 0, 4095, 1), found.ids.toList())
        assertEquals(6 to 192, found.packedBytes to found.pictureBytes)
        assertEquals(0xff000000.toInt() to -1, demo.seen[0] to demo.seen[SIDE - 1])
        assertEquals(listOf(-1, 0xff000000.toInt(), -1, 0xff000000.toInt()), demo.decode(found).toList())
        first = 4096f
        assertFailsWith<ContractError> { demo.encode(picture) }
        val fewer = contract("tokenization", codes.copy(shape = listOf(1, 5)))
        assertFailsWith<ContractError> { TokenizerDemo(fewer, encoding, decoder, decoding) }
    }
}
