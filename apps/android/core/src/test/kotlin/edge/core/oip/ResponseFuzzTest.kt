package edge.core.oip

import com.sun.management.ThreadMXBean
import edge.core.json.required
import java.lang.management.ManagementFactory
import java.util.Random
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

private const val MUTATIONS = 40_000
private const val MOST_BYTES = 4L shl 20 // that one parse may allocate; bodies here have less than 70,000

/** Whatever a server sends, the parser raises nothing but AnswerError and takes no memory for what is announced. */
class ResponseFuzzTest {
    private val threads = ManagementFactory.getThreadMXBean() as ThreadMXBean
    private val random = Random(20_240_607)
    private val cases = goldenCases("responses").map { it.bytes("body") to it.required("header").orNull { string() } }
    private val expected = listOf(TensorMetadata("mask", Datatype.FP32, listOf(-1, 1, 2, 2)))

    @Test
    fun mutatedAnswers() {
        var taken = 0
        repeat(MUTATIONS) {
            val (body, header) = cases[random.nextInt(cases.size)]
            val (changed, length) = mutated(body, header)
            val before = threads.getThreadAllocatedBytes(Thread.currentThread().id)
            try {
                val found = parseResponse(changed, length, if (random.nextBoolean()) expected else emptyList())
                for (tensor in found.outputs.values) read(tensor)
                taken++
            } catch (_: AnswerError) {
                // what is expected of most
            }
            val bytes = threads.getThreadAllocatedBytes(Thread.currentThread().id) - before
            assertTrue("$bytes bytes were allocated for a body of ${changed.size}", bytes < MOST_BYTES)
        }
        assertTrue("$taken of $MUTATIONS were taken", taken in 100 until MUTATIONS)
    }

    @Test
    fun noise() {
        repeat(5_000) {
            val body = ByteArray(random.nextInt(300)).also(random::nextBytes)
            assertThrows(AnswerError::class.java) { parseResponse(body, null) }
            assertThrows(AnswerError::class.java) { readMetadata(body) }
            assertTrue(parseError(500, body).message.orEmpty().startsWith("the server answered 500"))
        }
    }

    @Test
    fun aBodyAboveTheLimitIsRefusedUnread() {
        assertThrows(AnswerError::class.java) { parseResponse(ByteArray((8 shl 20) + 1), "10") }
        val limiter = BodyLimiter(100)
        limiter.feed(ByteArray(100), 100)
        assertThrows(TooLarge::class.java) { limiter.feed(ByteArray(1), 1) }
        assertThrows(TooLarge::class.java) { BodyLimiter(100, contentLength = "101") }
        assertThrows(RequestError::class.java) { BodyLimiter(100, contentLength = "ten") }
        assertThrows(RequestError::class.java) { BodyLimiter(100, contentLength = "5").feed(ByteArray(6), 6) }
        assertThrows(RequestError::class.java) { BodyLimiter(100, contentLength = "5").finish() }
        assertThrows(UnsupportedEncoding::class.java) { BodyLimiter(100, contentEncoding = "gzip") }
        assertTrue(BodyLimiter(100, "0", "identity").finish().isEmpty())
    }

    private fun read(tensor: Tensor) {
        if (tensor.datatype == Datatype.BYTES) tensor.elements() else tensor.floats()
    }

    private fun mutated(body: ByteArray, header: String?): Pair<ByteArray, String?> {
        var changed = body.copyOf()
        var length = header
        repeat(1 + random.nextInt(4)) {
            when (random.nextInt(7)) {
                0 -> if (changed.isNotEmpty()) changed[random.nextInt(changed.size)] = random.nextInt(256).toByte()
                1 -> changed = changed.copyOf(random.nextInt(changed.size + 1))
                2 -> changed += ByteArray(random.nextInt(40))
                3 -> length = if (random.nextBoolean()) null else random.nextInt(changed.size + 40).toString()
                4 -> digits(changed)
                5 -> changed = spliced(changed)
                else -> length = (length?.toLongOrNull() ?: 0L).plus(random.nextInt(3) - 1).toString()
            }
        }
        return changed to length
    }

    /** Change a digit, so that sizes, shapes and numbers lie. */
    private fun digits(body: ByteArray) {
        val places = body.indices.filter { body[it] in '0'.code..'9'.code }
        if (places.isNotEmpty()) body[places[random.nextInt(places.size)]] = ('0'.code + random.nextInt(10)).toByte()
    }

    private fun spliced(body: ByteArray): ByteArray {
        val (other, _) = cases[random.nextInt(cases.size)]
        val at = random.nextInt(body.size + 1)
        val from = random.nextInt(other.size + 1)
        return body.copyOf(at) + other.copyOfRange(from, minOf(other.size, from + random.nextInt(60)))
    }
}
