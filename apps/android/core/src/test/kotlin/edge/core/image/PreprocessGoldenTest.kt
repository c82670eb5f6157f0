package edge.core.image

import edge.core.golden.Golden
import edge.core.golden.assertNear
import edge.core.golden.double
import edge.core.golden.getValue
import edge.core.golden.has
import edge.core.golden.int
import edge.core.golden.list
import edge.core.golden.part
import edge.core.golden.text
import edge.core.json.JsonObject
import edge.core.manifest.Colour
import edge.core.manifest.DType
import edge.core.manifest.Layout
import edge.core.manifest.Preprocess
import edge.core.manifest.Resize
import edge.core.manifest.SizeHw
import edge.core.manifest.TensorSpec
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import org.junit.Test

private const val TOLERANCE = 0.0 // the same bits
private const val MATRIX_TOLERANCE = 1e-12

class PreprocessGoldenTest {
    private val golden = Golden("preprocess")

    @Test
    fun `every source becomes the reference's input`() {
        for (case in golden.cases) check(case)
    }

    @Test
    fun `all kinds of cases are there`() {
        val names = golden.cases.map { it.text("name").substringBefore('/') }.toSet()
        assertEquals(
            setOf("stretch", "letterbox", "corner", "enlarged", "values", "integers", "region", "turn", "hd"),
            names,
        )
    }

    private fun check(case: JsonObject) {
        val name = case.text("name")
        val spec = spec(case.part("spec"))
        val frame = Frame()
        val region = if (case.has("region")) region(case) else null
        val preprocessor = Preprocessor(spec, rule(case.part("preprocess")))
        val source = golden.source(case.text("source"))
        val turn = Turn.values()[case.int("turn")]
        val found = FloatArray(spec.elements.toInt())
        preprocessor.run(source, region, found, frame, turn)
        val expected = case.part("input")
        when {
            expected.has("sha256") -> assertEquals(expected.text("sha256"), sha256(found), name)
            spec.dtype == DType.FLOAT32 -> assertNear(name, golden.floats(expected), found, TOLERANCE)
            spec.dtype == DType.INT32 ->
                assertContentEquals(golden.ints(expected), IntArray(found.size) { found[it].toInt() }, name)
            else -> {
                val bytes = ByteArray(found.size)
                preprocessor.run(source, region, bytes, frame, turn)
                assertContentEquals(golden.bytes(expected), bytes, name)
                assertContentEquals(bytes, ByteArray(found.size) { found[it].toInt().toByte() }, name)
            }
        }
        checkFrame(name, case, frame, region)
    }

    private fun checkFrame(name: String, case: JsonObject, frame: Frame, region: Region?) {
        assertEquals(case.list("image_hw").map { it.int() }, listOf(frame.imageHeight, frame.imageWidth), name)
        assertEquals(region, frame.region, name)
        val matrix = frame.matrix.run { doubleArrayOf(xx, xy, x0, yx, yy, y0) }
        assertNear(name, golden.doubles(case.getValue("matrix")), matrix, MATRIX_TOLERANCE)
    }

    private fun sha256(values: FloatArray): String {
        val buffer = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        values.forEach { buffer.putFloat(it) }
        return MessageDigest.getInstance("SHA-256").digest(buffer.array()).joinToString("") { "%02x".format(it) }
    }
}

private fun region(case: JsonObject): Region {
    val (x, y, side, rotation) = case.list("region").map { it.double() }
    return Region(x, y, side, rotation)
}

private fun spec(json: JsonObject) = TensorSpec(
    json.text("name"),
    json.list("shape").map { it.int() },
    DType.values().first { it.text == json.text("dtype") },
    Layout.values().first { it.text == json.text("layout") },
)

private fun rule(json: JsonObject): Preprocess {
    val (height, width) = json.list("size").map { it.int() }
    return Preprocess(
        SizeHw(height, width),
        Resize.values().first { it.text == json.text("resize") },
        Colour.valueOf(json.text("colour")),
        json.list("range").map { it.double() },
        json.list("mean").map { it.double() },
        json.list("std").map { it.double() },
    )
}
