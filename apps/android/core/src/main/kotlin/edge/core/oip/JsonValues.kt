package edge.core.oip

import edge.core.json.Json
import edge.core.json.JsonArray
import edge.core.json.JsonBoolean
import edge.core.json.JsonNumber
import edge.core.json.JsonString
import java.math.BigInteger
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Return the raw bytes of a tensor's JSON values, flat or nested as the shape says; raises RequestError.
 *
 * Memory is taken only once as many values are there as the shape says.
 */
internal fun rawOfJson(document: TensorDocument, data: Json): ByteBuffer {
    val name = shown(document.name)
    if (document.datatype == Datatype.BF16) {
        throw RequestError("tensor $name: BF16 travels as binary data only; give it a binary_data_size")
    }
    val nested = (data as? JsonArray)?.items?.firstOrNull() is JsonArray
    val values = ArrayList<Json>()
    flatten(name, data, if (nested) document.shape else listOf(elementCount(document.shape)), values)
    if (document.datatype == Datatype.BYTES) return joined(values.map { bytes(name, it) })
    val raw = ByteBuffer.allocate(values.size * (document.datatype.bytes ?: 0)).order(ByteOrder.LITTLE_ENDIAN)
    for (value in values) put(raw, name, document.datatype, value)
    raw.flip()
    return raw
}

private fun flatten(name: String, data: Json, shape: List<Long>, into: MutableList<Json>) {
    val list = data as? JsonArray ?: throw RequestError("tensor $name: its data are no list as deep as its shape")
    val items = list.items
    if (items.size.toLong() != (shape.firstOrNull() ?: 1L)) {
        throw RequestError("tensor $name: its data do not fill its shape; one list has ${items.size} elements")
    }
    if (shape.size < 2) {
        into.addAll(items)
    } else {
        for (item in items) flatten(name, item, shape.subList(1, shape.size), into)
    }
}

private fun bytes(name: String, value: Json): ByteArray {
    val text = (value as? JsonString ?: none(name, Datatype.BYTES)).value
    if (text.indices.any { text[it].isSurrogate() && !inPair(text, it) }) none(name, Datatype.BYTES)
    return text.toByteArray(Charsets.UTF_8)
}

private fun inPair(text: String, at: Int): Boolean = if (text[at].isHighSurrogate()) {
    at + 1 < text.length && text[at + 1].isLowSurrogate()
} else {
    at > 0 && text[at - 1].isHighSurrogate()
}

private fun put(raw: ByteBuffer, name: String, datatype: Datatype, value: Json) {
    when (datatype.kind) {
        Datatype.Kind.BOOL -> raw.put(if ((value as? JsonBoolean ?: none(name, datatype)).value) 1 else 0)
        Datatype.Kind.FLOAT -> putFloat(raw, name, datatype, value)
        else -> putWhole(raw, name, datatype, value)
    }
}

private fun putFloat(raw: ByteBuffer, name: String, datatype: Datatype, value: Json) {
    val number = (value as? JsonNumber ?: none(name, datatype)).text.toDouble()
    val finite = when (datatype) {
        Datatype.FP16 -> halfBits(number).also { raw.putShort(it.toShort()) } and 0x7c00 != 0x7c00
        Datatype.FP32 -> number.toFloat().also { raw.putFloat(it) }.isFinite()
        else -> number.also { raw.putDouble(it) }.isFinite()
    }
    if (!finite) throw RequestError("tensor $name: a value is outside $datatype's range")
}

private fun putWhole(raw: ByteBuffer, name: String, datatype: Datatype, value: Json) {
    val text = (value as? JsonNumber ?: none(name, datatype)).text
    if (text.any { it == '.' || it == 'e' || it == 'E' }) none(name, datatype)
    val bits = 8 * (datatype.bytes ?: 0)
    val number = if (text.length <= 21) BigInteger(text) else outside(name, datatype)
    val range = if (datatype.kind == Datatype.Kind.SIGNED) number.bitLength() < bits else fitsUnsigned(number, bits)
    if (!range) outside(name, datatype)
    when (bits) {
        8 -> raw.put(number.toByte())
        16 -> raw.putShort(number.toShort())
        32 -> raw.putInt(number.toInt())
        else -> raw.putLong(number.toLong())
    }
}

private fun fitsUnsigned(number: BigInteger, bits: Int) = number.signum() >= 0 && number.bitLength() <= bits

private fun none(name: String, datatype: Datatype): Nothing =
    throw RequestError("tensor $name: its data are no $datatype values")

private fun outside(name: String, datatype: Datatype): Nothing =
    throw RequestError("tensor $name: a value is outside $datatype's range")
