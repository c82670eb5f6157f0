package edge.core.manifest

import edge.core.json.Json
import edge.core.json.JsonArray
import edge.core.json.JsonNumber
import edge.core.json.JsonObject
import edge.core.json.jsonOf
import java.math.BigDecimal
import java.util.Random
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import org.junit.Test

class ManifestTest {
    private val cases = manifestCases()

    @Test
    fun takesAndRefusesWhatTheReferenceDoes() {
        val wrong = cases.mapNotNull { case ->
            val found = verdict(case.data)
            if (found.first == case.verdict) null else "${case.name}: $found, expected ${case.verdict}"
        }
        assertEquals(emptyList(), wrong)
        assertTrue(cases.count { it.verdict == "refuse" } >= 40)
    }

    @Test
    fun readsTheSameValues() {
        val accepted = cases.filter { it.verdict == "accept" }
        val wrong = accepted.mapNotNull { case ->
            val found = jsonOf(readManifest(case.data).plain())
            difference(case.read ?: error("${case.name} has no values"), found, case.name)
        }
        assertEquals(emptyList(), wrong)
        assertTrue(accepted.size >= 40)
    }

    @Test
    fun everyRefusalSaysWhatMendsIt() {
        for (case in cases.filter { it.verdict != "accept" }) {
            val error = assertFailsWith<ManifestError>(case.name) { readManifest(case.data) }
            val mended = "deploy it again" in error.message.orEmpty() || error is NewerSchema
            assertTrue(mended, "${case.name}: $error")
        }
    }

    @Test
    fun aNewerSchemaSaysWhichItIs() {
        val error = assertFailsWith<NewerSchema> { readManifest("""{"schema": 7, "all": "new"}""") }
        assertEquals(7, error.schema)
        assertTrue("update the app" in error.message.orEmpty())
    }

    @Test
    fun anErrorNamesTheKeyAndTheValue() {
        val error = assertFailsWith<InvalidManifest> { readManifest(case("mode/measured")) }
        assertTrue("parity.mode" in error.message.orEmpty() && "measured" in error.message.orEmpty(), error.message)
        val missing = assertFailsWith<InvalidManifest> { readManifest(case("missing/files.0.sha256")) }
        assertTrue("files[0]: the key 'sha256' is missing" in missing.message.orEmpty(), missing.message)
    }

    @Test
    fun anyDamageIsAManifestOrOneOfItsErrors() {
        val whole = case("full")
        val random = Random(8)
        repeat(3000) {
            val damaged = whole.copyOf(if (random.nextInt(4) == 0) random.nextInt(whole.size) else whole.size)
            repeat(random.nextInt(3) + 1) {
                if (damaged.isNotEmpty()) damaged[random.nextInt(damaged.size)] = random.nextInt(256).toByte()
            }
            verdict(damaged)
        }
    }

    @Test
    fun aDecodersSettingsAreReadByKind() {
        val settings = mapOf("n" to Setting.Number(3.0), "s" to Setting.Numbers(listOf(8.0, 16.0)))
        assertEquals(3.0, settings.number("n"))
        assertEquals(0.5, settings.number("absent", 0.5))
        assertEquals(listOf(8.0, 16.0), settings.numbers("s"))
        assertFailsWith<ContractError> { settings.number("s") }
        assertFailsWith<ContractError> { settings.number("absent") }
        assertFailsWith<ContractError> { settings.numbers("n") }
    }

    @Test
    fun aTensorCountsItsElementsWithoutOverflow() {
        assertEquals(196_608, TensorSpec("x", listOf(1, 3, 256, 256)).elements)
        assertEquals(1, TensorSpec("x", emptyList()).elements)
        assertFailsWith<ArithmeticException> { TensorSpec("x", List(3) { Int.MAX_VALUE }).elements }
    }

    private fun case(name: String): ByteArray = cases.first { it.name == name }.data

    private fun verdict(data: ByteArray): Pair<String, String> = try {
        readManifest(data)
        "accept" to ""
    } catch (error: NewerSchema) {
        "newer-schema" to error.message.orEmpty()
    } catch (error: InvalidManifest) {
        "refuse" to error.message.orEmpty()
    }

    /** Return where two values differ, or null; numbers are compared as doubles. */
    private fun difference(expected: Json, found: Json, path: String): String? = when {
        expected is JsonObject && found is JsonObject ->
            if (expected.members.keys != found.members.keys) {
                "$path: keys ${found.members.keys}, expected ${expected.members.keys}"
            } else {
                expected.members.keys.firstNotNullOfOrNull { name ->
                    difference(expected.members.getValue(name), found.members.getValue(name), "$path.$name")
                }
            }
        expected is JsonArray && found is JsonArray ->
            if (expected.items.size != found.items.size) {
                "$path: ${found.items.size} items, expected ${expected.items.size}"
            } else {
                expected.items.indices.firstNotNullOfOrNull {
                    difference(expected.items[it], found.items[it], "$path[$it]")
                }
            }
        expected is JsonNumber && found is JsonNumber ->
            if (same(expected, found)) null else "$path: ${found.text}, expected ${expected.text}"
        else -> if (expected == found) null else "$path: $found, expected $expected"
    }

    private fun same(one: JsonNumber, other: JsonNumber): Boolean {
        val exactly = BigDecimal(one.text).compareTo(BigDecimal(other.text)) == 0
        return exactly || one.text.toDouble().compareTo(other.text.toDouble()) == 0
    }
}
