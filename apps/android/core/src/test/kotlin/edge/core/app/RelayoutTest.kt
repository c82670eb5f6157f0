package edge.core.app

import edge.core.manifest.Contract
import edge.core.manifest.Layout
import edge.core.manifest.TensorSpec
import kotlin.test.assertContentEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertSame
import kotlin.test.assertTrue
import org.junit.Test

class RelayoutTest {
    private val first = contract(Layout.NCHW, listOf(1, 3, 2, 4))
    private val last = contract(Layout.NHWC, listOf(1, 2, 4, 3))

    private fun contract(layout: Layout, shape: List<Int>) = Contract(
        listOf(TensorSpec("image", shape, layout = layout)),
        listOf(TensorSpec("mask", shape, layout = layout), TensorSpec("score", listOf(1, 1))),
    )

    /** Returns what it is given, and remembers it. */
    private class Echo : OpenEngine {
        var seen = FloatArray(0)

        override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
            seen = inputs.getValue("image").clone()
            return mapOf("mask" to inputs.getValue("image"), "score" to floatArrayOf(1f))
        }

        override fun close() = Unit
    }

    @Test
    fun channelsAreBroughtWhereTheArtifactWantsThemAndBack() {
        val echo = Echo()
        val values = FloatArray(24) { it.toFloat() } // value = channel · 8 + pixel
        val outputs = relaid(echo, first, last).run(mapOf("image" to values))
        assertContentEquals(FloatArray(24) { (it % 3 * 8 + it / 3).toFloat() }, echo.seen)
        assertContentEquals(values, outputs["mask"])
        assertContentEquals(floatArrayOf(1f), outputs["score"])
        val back = relaid(echo, last, first).run(mapOf("image" to values))
        assertContentEquals(values, back["mask"])
    }

    @Test
    fun equalLayoutsCostNothingAndOtherContractsAreRefused() {
        val echo = Echo()
        assertSame<OpenEngine>(echo, relaid(echo, first, first))
        val larger = contract(Layout.NHWC, listOf(1, 2, 5, 3))
        assertTrue(fits(first, last))
        assertFalse(fits(first, larger))
        assertFailsWith<IllegalArgumentException> { relaid(echo, first, larger) }
    }
}
