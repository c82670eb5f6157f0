package edge.core.decode

import edge.core.image.Affine
import edge.core.image.Frame
import edge.core.image.PlaneView
import edge.core.image.PlaneWarp
import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import edge.core.manifest.Layout
import edge.core.manifest.Postprocess
import edge.core.manifest.Setting
import edge.core.manifest.TensorSpec
import kotlin.math.exp
import kotlin.random.Random
import kotlin.test.assertContains
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertSame
import org.junit.Test

class DecodeTest {
    private val image = TensorSpec("image", listOf(1, 3, 8, 8), layout = Layout.NCHW)
    private val scores = TensorSpec("scores", listOf(1, 2, 8, 8), layout = Layout.NCHW)
    private val logits = Postprocess("logits")
    private val twoClasses = Contract(listOf(image), listOf(scores), "segmentation", postprocess = logits)

    @Test
    fun `an output of another size is refused by name`() {
        val error = assertFailsWith<ContractError> {
            SegmentationTask(twoClasses).decode(mapOf("scores" to FloatArray(7)), Frame().setStretch(8, 8, 8, 8))
        }
        assertContains(error.message.orEmpty(), "scores has 7 values")
    }

    @Test
    fun `an output that is missing is refused by name`() {
        val error = assertFailsWith<ContractError> {
            SegmentationTask(twoClasses).decode(emptyMap(), Frame().setStretch(8, 8, 8, 8))
        }
        assertContains(error.message.orEmpty(), "'scores'")
        assertContains(assertFailsWith<ContractError> { PoseDetection(twoClasses) }.message.orEmpty(), "has scores")
    }

    @Test
    fun `settings of the wrong kind are refused`() {
        val rule = Postprocess("probability", mapOf("threshold" to Setting.Text("half")))
        assertFailsWith<ContractError> { SegmentationTask(twoClasses.copy(postprocess = rule)) }
    }

    @Test
    fun `landmarks that are too few are refused`() {
        val sizes = listOf("landmarks" to 160, "presence" to 1, "world" to 99)
        val outputs = sizes.map { TensorSpec(it.first, listOf(1, it.second)) }
        assertFailsWith<ContractError> { PoseLandmarks(Contract(listOf(image), outputs, "pose-landmarks")) }
    }

    @Test
    fun `class maps use their memory again`() {
        val task = SegmentationTask(twoClasses)
        val values = mapOf("scores" to FloatArray(128) { it.toFloat() })
        val before = task.decode(values, Frame().setStretch(30, 20, 8, 8)).classes
        assertSame(before, task.decode(values, Frame().setLetterbox(30, 20, 8, 8)).classes)
        assertEquals(200, task.decode(values, Frame().setStretch(20, 10, 8, 8)).classes.size)
    }

    @Test
    fun `agreement of four cells is what mixing them says`() {
        val random = Random(2)
        val separable = Frame().setStretch(61, 47, 8, 8)
        repeat(20) {
            val values = FloatArray(128) { random.nextInt(-3, 4).toFloat() } // with many ties
            val fast = SegmentationTask(twoClasses).decode(mapOf("scores" to values), separable)
            val matrix = Affine().setInverse(separable.matrix)
            val slow = ByteArray(61 * 47)
            val warp = PlaneWarp()
            warp.set(matrix, 8, 8, 61)
            val shares = softmax(values)
            val rows = List(2) { FloatArray(61) }
            for (y in 0 until 47) {
                for (plane in 0..1) {
                    warp.row(shares, PlaneView(8, 8, 64 * plane, 8, 1), y, rows[plane], 0, 0, 61)
                }
                for (x in 0 until 61) slow[y * 61 + x] = if (rows[1][x] > rows[0][x]) 1 else 0
            }
            assertContentEquals(slow, fast.classes)
        }
    }

    private fun softmax(values: FloatArray) = FloatArray(128) { index ->
        val (a, b) = values[index % 64] to values[64 + index % 64]
        val top = maxOf(a, b)
        val sum = exp(a - top) + exp(b - top)
        exp(values[index] - top) / sum
    }

    @Test
    fun `codes come back whatever they are`() {
        val random = Random(5)
        repeat(200) {
            val bits = random.nextInt(1, 25)
            val codes = IntArray(random.nextInt(0, 50)) { random.nextInt(1 shl bits) }
            val packed = packCodes(codes, bits)
            assertEquals((codes.size * bits + 7) / 8, packed.size)
            assertContentEquals(codes, unpackCodes(packed, codes.size, bits))
        }
    }

    @Test
    fun `packed codes of another length or fill are refused`() {
        assertFailsWith<IllegalArgumentException> { unpackCodes(ByteArray(3), 1, 12) }
        assertFailsWith<IllegalArgumentException> { unpackCodes(byteArrayOf(0, 1), 1, 12) }
        assertFailsWith<IllegalArgumentException> { unpackCodes(ByteArray(0), -1, 12) }
        assertFailsWith<IllegalArgumentException> { unpackCodes(ByteArray(0), 0, 25) }
    }

    @Test
    fun `the palette is that of Pascal VOC`() {
        assertContentEquals(intArrayOf(0x000000, 0x800000, 0x008000, 0x808000, 0x000080), palette(5))
        assertEquals(0xe0e0c0, palette(256)[255])
    }

    @Test
    fun `a layer that is too small is refused`() {
        assertFailsWith<IllegalArgumentException> { ClassLayer().draw(ByteArray(5), IntArray(4)) }
        assertFailsWith<IllegalArgumentException> { MaskLayer().draw(FloatArray(5), IntArray(4)) }
    }
}
