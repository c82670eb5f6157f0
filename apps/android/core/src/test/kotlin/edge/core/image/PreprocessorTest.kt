package edge.core.image

import edge.core.manifest.ContractError
import edge.core.manifest.DType
import edge.core.manifest.Layout
import edge.core.manifest.Preprocess
import edge.core.manifest.Resize
import edge.core.manifest.SizeHw
import edge.core.manifest.TensorSpec
import java.nio.ByteBuffer
import kotlin.math.PI
import kotlin.random.Random
import kotlin.test.assertContains
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import org.junit.Test

private val SPEC = TensorSpec("image", listOf(1, 3, 24, 24), layout = Layout.NCHW)
private val RULE = Preprocess(SizeHw(24, 24), Resize.LETTERBOX)

class PreprocessorTest {
    private fun input(source: Source, region: Region?, turn: Turn = Turn.NONE) =
        FloatArray(3 * 24 * 24).also { Preprocessor(SPEC, RULE).run(source, region, it, Frame(), turn) }

    private fun turned(picture: Picture): Picture {
        val (width, height) = picture.height to picture.width
        val rgb = ByteArray(picture.rgb.size)
        for (y in 0 until height) {
            for (x in 0 until width) {
                val from = ((picture.height - 1 - x) * picture.width + y) * 3
                picture.rgb.copyInto(rgb, (y * width + x) * 3, from, from + 3)
            }
        }
        return Picture(width, height, rgb)
    }

    @Test
    fun `turning while sampling is turning the picture first`() {
        val random = Random(3)
        repeat(40) {
            var upright = Picture(31, 18, random.nextBytes(31 * 18 * 3))
            val stored = upright
            val (x, y) = random.nextDouble(31.0) to random.nextDouble(18.0)
            val region = if (it % 4 == 0) null else Region(x, y, 15.0, random.nextDouble(-PI, PI))
            for (turn in Turn.values()) {
                assertContentEquals(input(upright, region), input(stored, region, turn), "$turn of $region")
                upright = turned(upright)
            }
        }
    }

    @Test
    fun `a camera's frame is sampled as the picture it shows`() {
        val frame = cameraFrame(33, 21)
        val rgb = ByteArray(33 * 21 * 3)
        for (y in 0 until 21) {
            for (x in 0 until 33) {
                val (luma, blue, red) = listOf(frame.luma to 1, frame.blue to 2, frame.red to 2).map { (plane, size) ->
                    val (row, pixel) = plane.layout
                    plane.bytes[y / size * row + x / size * pixel].toInt() and 0xff
                }
                val colour = rgbOfYuv(luma, blue, red)
                for (c in 0 until 3) rgb[(y * 33 + x) * 3 + c] = (colour shr (16 - 8 * c)).toByte()
            }
        }
        val region = Region(12.5, 11.0, 30.0, 0.8)
        assertContentEquals(input(Picture(33, 21, rgb), region), input(frame, region))
        assertContentEquals(input(Picture(33, 21, rgb), null), input(frame, null))
    }

    @Test
    fun `grey chroma leaves luma as it is`() {
        for (luma in 0..255) assertEquals(luma * 0x010101, rgbOfYuv(luma, 128, 128))
    }

    @Test
    fun `colours of full chroma stay within a byte`() {
        for (luma in listOf(0, 128, 255)) for (blue in listOf(0, 255)) for (red in listOf(0, 255)) {
            assertEquals(0, rgbOfYuv(luma, blue, red) ushr 24)
        }
        assertEquals(0xfe0000, rgbOfYuv(76, 85, 255)) // JFIF's red
    }

    @Test
    fun `nothing is kept from the picture before`() {
        val preprocessor = Preprocessor(SPEC, RULE)
        val (first, again) = FloatArray(1728) to FloatArray(1728)
        preprocessor.run(pattern(50, 20), null, first, Frame())
        preprocessor.run(pattern(20, 50), Region(3.0, 4.0, 90.0, 1.0), again, Frame())
        preprocessor.run(pattern(50, 20), null, again, Frame())
        assertContentEquals(first, again)
    }

    @Test
    fun `a single picture goes through one function`() {
        val into = FloatArray(1728)
        val frame = preprocess(pattern(50, 20), SPEC, RULE, null, into)
        assertContentEquals(input(pattern(50, 20), null), into)
        assertEquals(50, frame.imageWidth)
    }

    @Test
    fun `what does not fit is told`() {
        val run = { region: Region -> input(pattern(8, 8), region) }
        val flat = assertFailsWith<IllegalArgumentException> { run(Region(1.0, 1.0, 0.0)) }
        assertContains(flat.message.orEmpty(), "side")
        assertFailsWith<IllegalArgumentException> { run(Region(Double.NaN, 1.0, 1.0)) }
        assertFailsWith<IllegalArgumentException> { run(Region(1.0, 1.0, Double.POSITIVE_INFINITY)) }
        assertFailsWith<IllegalArgumentException> { run(Region(1.0, 1.0, 1.0, Double.NaN)) }
        val short = assertFailsWith<IllegalArgumentException> {
            Preprocessor(SPEC, RULE).run(pattern(8, 8), null, FloatArray(5), Frame())
        }
        assertContains(short.message.orEmpty(), "5 values")
        assertFailsWith<ContractError> { Preprocessor(SPEC, RULE).run(pattern(8, 8), null, ByteArray(1728), Frame()) }
        assertFailsWith<ContractError> { Preprocessor(SPEC.copy(shape = listOf(1, 1, 24, 24)), RULE) }
        assertFailsWith<ContractError> { Preprocessor(SPEC, RULE.copy(size = SizeHw(24, 25))) }
        assertFailsWith<ContractError> { Preprocessor(TensorSpec("image", listOf(1, 9), DType.FLOAT32), RULE) }
    }

    @Test
    fun `a picture has the bytes of its size`() {
        assertFailsWith<IllegalArgumentException> { Picture(2, 2, ByteArray(11)) }
        assertFailsWith<IllegalArgumentException> { Picture(0, 2, ByteArray(0)) }
        assertFailsWith<IllegalArgumentException> { Picture(1 shl 16, 1 shl 16, ByteArray(0)) }
    }

    @Test
    fun `planes that are too short are told before anything is read`() {
        val frame = YuvFrame()
        val bytes = { count: Int -> ByteBuffer.allocate(count) }
        val plain = PlaneLayout(6, 1)
        fun fill(y: Int, uv: Int, luma: PlaneLayout = plain, chroma: PlaneLayout = plain) =
            frame.fill(6, 4, bytes(y), bytes(uv), bytes(uv), luma, chroma)
        fill(24, 9)
        assertContains(assertFailsWith<IllegalArgumentException> { fill(23, 9) }.message.orEmpty(), "Y plane")
        assertContains(assertFailsWith<IllegalArgumentException> { fill(24, 8) }.message.orEmpty(), "U plane")
        assertFailsWith<IllegalArgumentException> { fill(24, 12, luma = PlaneLayout(5, 1)) }
        assertFailsWith<IllegalArgumentException> { fill(24, 12, chroma = PlaneLayout(4, 2)) }
        assertFailsWith<IllegalArgumentException> { fill(24, 12, chroma = PlaneLayout(6, 0)) }
    }

    @Test
    fun `a frame's memory is used again`() {
        val frame = cameraFrame(40, 30)
        val before = frame.luma.bytes
        val plane = ByteBuffer.allocate(200)
        frame.fill(10, 10, plane, plane, plane, PlaneLayout(10, 1), PlaneLayout(10, 2))
        assertEquals(true, before === frame.luma.bytes)
        assertEquals(0, plane.position())
        assertEquals(10 to 10, frame.width to frame.height)
    }
}
