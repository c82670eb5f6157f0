package edge.core.golden

import edge.core.json.Json
import edge.core.json.JsonArray
import edge.core.json.JsonNull
import edge.core.json.JsonNumber
import edge.core.json.JsonObject
import edge.core.json.JsonString
import edge.core.json.parseJson
import edge.core.json.write
import edge.core.manifest.Contract
import edge.core.manifest.readManifest
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import kotlin.math.max
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** The golden vectors of a folder: cases in JSON, and their arrays in one file of little-endian values. */
internal class Golden(folder: String, name: String = folder) {
    private val root = File(System.getProperty("golden"), folder)
    private val data = ByteBuffer.wrap(File(root, "$name.bin").readBytes()).order(ByteOrder.LITTLE_ENDIAN)
    val head = parseJson(File(root, "$name.json").readText()) as JsonObject
    val cases: List<JsonObject> = head.list("cases").map { it as JsonObject }

    init {
        check(cases.isNotEmpty()) { "$root holds no case" }
    }

    fun floats(json: Json?): FloatArray {
        val at = read(json, "float32", 4)
        return FloatArray(count(json)) { data.getFloat(at + 4 * it) }
    }

    fun doubles(json: Json?): DoubleArray {
        val at = read(json, "float64", 8)
        return DoubleArray(count(json)) { data.getDouble(at + 8 * it) }
    }

    fun longs(json: Json?): LongArray {
        val at = read(json, "int64", 8)
        return LongArray(count(json)) { data.getLong(at + 8 * it) }
    }

    fun ints(json: Json?): IntArray {
        val kind = (json as JsonObject).text("dtype")
        val at = read(json, if (kind == "uint32") kind else "int32", 4)
        return IntArray(count(json)) { data.getInt(at + 4 * it) }
    }

    fun shorts(json: Json?): ShortArray {
        val at = read(json, "uint16", 2)
        return ShortArray(count(json)) { data.getShort(at + 2 * it) }
    }

    fun bytes(json: Json?): ByteArray {
        val kind = (json as JsonObject).text("dtype")
        val at = read(json, if (kind == "int8") kind else "uint8", 1)
        return ByteArray(count(json)) { data[at + it] }
    }

    private fun read(json: Json?, dtype: String, size: Int): Int {
        val array = json as JsonObject
        assertEquals(dtype, array.text("dtype"))
        return array.int("at").also { check(it + size * count(json) <= data.limit()) }
    }

    private fun count(json: Json?) =
        (json as JsonObject).list("shape").fold(1) { product, size -> product * size.int() }
}

internal fun JsonObject.text(name: String): String = (getValue(name) as JsonString).value

internal fun JsonObject.int(name: String): Int = getValue(name).int()

internal fun JsonObject.double(name: String): Double = getValue(name).double()

internal fun JsonObject.list(name: String): List<Json> = (getValue(name) as JsonArray).items

internal fun JsonObject.part(name: String): JsonObject = getValue(name) as JsonObject

internal fun JsonObject.has(name: String): Boolean = this[name].let { it != null && it != JsonNull }

internal fun JsonObject.getValue(name: String): Json = this[name] ?: error("no member $name")

internal fun Json.int(): Int = (this as JsonNumber).text.toInt()

internal fun Json.double(): Double = (this as JsonNumber).text.toDouble()

/** Return the contract of a manifest that stands in a case. */
internal fun JsonObject.contract(name: String): Contract = readManifest(getValue(name).write()).contract

/** Compare values within `tolerance` of the largest magnitude, or of 1 if that is more; NaN is near NaN. */
internal fun assertNear(name: String, expected: DoubleArray, found: DoubleArray, tolerance: Double) {
    assertEquals(expected.size, found.size, "$name: size")
    val scale = expected.filter { it.isFinite() }.fold(1.0) { most, value -> max(most, abs(value)) }
    for (index in expected.indices) {
        val near = abs(expected[index] - found[index]) <= tolerance * scale
        val same = expected[index] == found[index] || (expected[index].isNaN() && found[index].isNaN())
        assertTrue(near || same, "$name[$index]: expected ${expected[index]}, found ${found[index]}")
    }
}

internal fun assertNear(name: String, expected: FloatArray, found: FloatArray, tolerance: Double) =
    assertNear(name, expected.asDoubles(), found.asDoubles(), tolerance)

private fun FloatArray.asDoubles() = DoubleArray(size) { this[it].toDouble() }
