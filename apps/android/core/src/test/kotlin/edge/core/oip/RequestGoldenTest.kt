package edge.core.oip

import edge.core.json.required
import java.nio.ByteBuffer
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

/** Requests equal the reference's byte for byte. */
class RequestGoldenTest {
    @Test
    fun tensors() {
        for (case in goldenCases("requests")) {
            val inputs = case.required("inputs").items().map {
                val given = it.members()
                val raw = ByteBuffer.wrap(given.bytes("raw"))
                Tensor(given.required("name").string(), datatype(given.required("datatype")), given.longs("shape"), raw)
            }
            val found = encodeRequest(
                inputs,
                outputs = case["outputs"]?.items()?.map { it.string() } ?: emptyList(),
                id = case["id"]?.string() ?: "",
                timeoutUs = case["timeout_us"]?.long(),
                priority = case["priority"]?.long() ?: 0,
            )
            check(case.required("name").string(), case.bytes("body"), case.required("json_bytes").int(), found)
        }
    }

    @Test
    fun pictures() {
        for (case in goldenCases("pictures")) {
            val region = case.required("region").orNull {
                val (x, y, side, rotation) = items().map { it.double() }
                PictureRegion(x, y, side, rotation)
            }
            val tensor = pictureTensor("image", case.bytes("picture"), region)
            val found = encodeRequest(listOf(tensor), timeoutUs = 1_000_000)
            check("$region", case.bytes("body"), case.required("json_bytes").int(), found)
        }
    }

    @Test
    fun namesThatAreNoTextAreRefused() {
        val tensor = Tensor.of("\ud800", listOf(1), floatArrayOf(1f))
        assertThrows(IllegalArgumentException::class.java) { encodeRequest(listOf(tensor)) }
        assertThrows(IllegalArgumentException::class.java) {
            pictureTensor("image", ByteArray(1), PictureRegion(Double.NaN, 0.0, 0.0, 0.0))
        }
        assertThrows(IllegalArgumentException::class.java) { Tensor.of("x", listOf(3), floatArrayOf(1f)) }
    }

    private fun check(name: String, body: ByteArray, jsonBytes: Int, found: Message) {
        assertEquals(name, String(body, 0, jsonBytes), String(found.body, 0, minOf(found.jsonBytes, found.body.size)))
        assertArrayEquals(name, body, found.body)
        assertEquals(name, jsonBytes.toString(), found.headers[HEADER])
    }
}
