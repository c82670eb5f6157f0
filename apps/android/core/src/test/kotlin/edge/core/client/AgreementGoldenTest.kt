package edge.core.client

import edge.core.json.JsonReader
import edge.core.json.required
import edge.core.manifest.Contract
import edge.core.manifest.DType
import edge.core.manifest.Layout
import edge.core.manifest.TensorSpec
import edge.core.oip.AnswerError
import edge.core.oip.bytes
import edge.core.oip.goldenCases
import edge.core.oip.longs
import edge.core.oip.readMetadata
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

/** A server's model fits a contract exactly where the reference says so, with the same permutations. */
class AgreementGoldenTest {
    @Test
    fun everyCase() {
        for (case in goldenCases("metadata")) {
            val name = case.required("name").string()
            val contract = with(case.required("contract").members()) {
                Contract(required("inputs").items().map(::tensor), required("outputs").items().map(::tensor))
            }
            val match = { checkContract(readMetadata(case.bytes("body")), contract) }
            when (case["error"]?.string()) {
                "answer" -> assertThrows(name, AnswerError::class.java) { match() }
                "contract" -> assertThrows(name, ContractError::class.java) { match() }
                else -> compare(name, case, match())
            }
        }
    }

    @Test
    fun axesAreExchanged() {
        val values = FloatArray(24) { it.toFloat() }
        val moved = permuted(values, listOf(1, 2, 3, 4), listOf(0, 2, 3, 1))
        assertArrayEquals(floatArrayOf(0f, 12f, 1f, 13f), moved.copyOf(4), 0f)
        assertArrayEquals(values, permuted(moved, listOf(1, 3, 4, 2), listOf(0, 3, 1, 2)), 0f)
    }

    private fun compare(name: String, case: Map<String, JsonReader>, found: Served) {
        assertEquals(name, case.required("pictures").boolean(), found.pictures)
        assertEquals(name, axes(case.required("to_server")), found.toServer)
        assertEquals(name, axes(case.required("from_server")), found.fromServer)
    }

    private fun axes(value: JsonReader): Axes =
        value.members().mapValues { (_, axes) -> axes.orNull { items().map { it.int() } } }

    private fun tensor(value: JsonReader): TensorSpec = with(value.members()) {
        val dtype = required("dtype").string()
        val layout = required("layout").string()
        TensorSpec(
            required("name").string(), longs("shape").map(Math::toIntExact), DType.entries.first { it.text == dtype },
            Layout.entries.first { it.text == layout },
        )
    }
}
