package edge.core.oip

import edge.core.json.Json
import edge.core.json.JsonBoolean
import edge.core.json.JsonNumber
import edge.core.json.JsonReader
import edge.core.json.JsonString
import edge.core.json.required
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** Answers are taken and refused as the reference takes and refuses them. */
class ResponseGoldenTest {
    @Test
    fun everyCase() {
        val cases = goldenCases("responses")
        assertTrue(cases.count { it.required("accept").boolean() } >= 40)
        assertTrue(cases.count { !it.required("accept").boolean() } >= 60)
        for (case in cases) {
            val name = case.required("name").string()
            val expected = case.required("expected").items().map(::declared)
            val parse = { parseResponse(case.bytes("body"), case.required("header").orNull { string() }, expected) }
            if (case.required("accept").boolean()) {
                compare(name, case, parse())
            } else {
                assertThrows(name, AnswerError::class.java) { parse() }
            }
        }
    }

    @Test
    fun errors() {
        for (case in goldenCases("errors")) {
            val status = case.required("status").int()
            val retryAfter = case.required("retry_after").string()
            val found = parseError(status, case.bytes("body"), retryAfter)
            val place = "$status $retryAfter"
            assertEquals(place, case.required("kind").string(), found.javaClass.simpleName)
            assertEquals(place, case.required("message").string(), found.message)
            val after = (found as? Busy)?.retryAfterS ?: (found as? TooManyRequests)?.retryAfterS
            assertEquals(place, case.required("retry_after_s").orNull { int() }, after)
        }
    }

    private fun compare(name: String, case: Map<String, JsonReader>, found: InferResponse) {
        assertEquals(name, case.required("model_name").string(), found.modelName)
        assertEquals(name, case.required("model_version").string(), found.modelVersion)
        assertEquals(name, case.required("id").string(), found.id)
        val parameters = case.required("parameters").members()
        assertEquals(name, parameters.keys, found.parameters.keys)
        for ((key, value) in parameters) compare("$name $key", value, found.parameters.getValue(key))
        val outputs = case.required("outputs").items().map { it.members() }
        assertEquals(name, outputs.map { it.required("name").string() }, found.outputs.keys.toList())
        for (output in outputs) {
            val tensor = found.outputs.getValue(output.required("name").string())
            assertEquals(name, datatype(output.required("datatype")), tensor.datatype)
            assertEquals(name, output.longs("shape"), tensor.shape)
            assertArrayEquals(name, output.bytes("raw"), ByteArray(tensor.raw.remaining()).also { tensor.raw.get(it) })
        }
    }

    private fun compare(place: String, expected: JsonReader, found: Json) {
        when (found) {
            is JsonBoolean -> assertEquals(place, expected.boolean(), found.value)
            is JsonString -> assertEquals(place, expected.string(), found.value)
            is JsonNumber -> assertEquals(place, expected.double(), found.text.toDouble(), 0.0)
            else -> throw AssertionError(place)
        }
    }

    private fun declared(value: JsonReader): TensorMetadata = with(value.members()) {
        TensorMetadata(required("name").string(), datatype(required("datatype")), longs("shape"))
    }
}
