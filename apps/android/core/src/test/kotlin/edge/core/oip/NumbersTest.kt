package edge.core.oip

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Random
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class NumbersTest {
    @Test
    fun numbersAreReadAsTheyWereWritten() {
        val random = Random(3)
        repeat(20_000) {
            val value = Double.fromBits(random.nextLong())
            if (value.isFinite()) assertEquals(value, numberText(value).toDouble(), 0.0)
        }
        assertEquals("-0.0", numberText(-0.0))
        assertEquals("0.00012", numberText(1.2e-4))
        assertEquals("5e-324", numberText(Double.MIN_VALUE))
    }

    @Test
    fun everyHalfSurvives() {
        for (bits in 0..0xffff) {
            val value = halfValue(bits)
            if (value.isFinite()) assertEquals(bits, halfBits(value.toDouble()))
        }
        assertEquals(0x7c00, halfBits(65_520.0))
        assertEquals(0x7bff, halfBits(65_519.99))
        assertEquals(0x3c00, halfBits(1.00048828125)) // half of a step: to even
    }

    @Test
    fun floatsGoOutAsTheContractsDatatype() {
        val halves = tensorOf("x", Datatype.FP16, listOf(2), floatArrayOf(0.5f, -2f))
        assertArrayEquals(floatArrayOf(0.5f, -2f), halves.floats(), 0f)
        val longs = tensorOf("x", Datatype.INT64, listOf(2), floatArrayOf(1f, 3f))
        assertArrayEquals(floatArrayOf(1f, 3f), longs.floats(), 0f)
        assertArrayEquals(longArrayOf(255), tensorOf("x", Datatype.UINT8, listOf(1), floatArrayOf(255f)).longs())
        for ((datatype, value) in listOf(
            Datatype.UINT8 to 256f, Datatype.INT32 to 0.5f, Datatype.BOOL to 2f, Datatype.UINT16 to -1f,
            Datatype.INT64 to Float.NaN, Datatype.INT64 to 9.3e18f,
        )) {
            assertThrows(IllegalArgumentException::class.java) {
                tensorOf("x", datatype, listOf(1), floatArrayOf(value))
            }
        }
    }

    @Test
    fun wholeNumbersThatAFloatDoesNotHoldAreRefused() {
        val raw = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(0, (1L shl 24) + 1)
        assertThrows(AnswerError::class.java) { Tensor("x", Datatype.INT64, listOf(1), raw).floats() }
        assertArrayEquals(longArrayOf((1L shl 24) + 1), Tensor("x", Datatype.INT64, listOf(1), raw).longs())
    }

    @Test
    fun shapesDoNotOverflow() {
        assertEquals(Long.MAX_VALUE, elementCount(listOf(1L shl 40, 1L shl 40)))
        assertEquals(0L, elementCount(listOf(1L shl 40, 1L shl 40, 0L)))
        assertEquals(1L, elementCount(emptyList()))
    }
}
