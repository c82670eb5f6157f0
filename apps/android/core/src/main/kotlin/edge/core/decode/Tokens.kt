package edge.core.decode

private const val MOST_BITS = 24

/**
 * Return token ids as ceil(count · bits / 8) bytes: the bits of all ids follow each other, the highest of each first.
 *
 * Bytes are filled from their highest bit; zeros fill the last one. 128 ids of 12 bits are 192 bytes. Raises
 * IllegalArgumentException for ids outside 0…2^bits − 1 and for bits outside 1…24.
 */
fun packCodes(codes: IntArray, bits: Int = 12): ByteArray {
    checkBits(bits)
    val strange = codes.firstOrNull { it < 0 || it shr bits != 0 }
    require(strange == null) { "the id $strange; in $bits bits ids go from 0 to ${(1 shl bits) - 1}" }
    val packed = ByteArray(packedSize(codes.size, bits))
    var held = 0
    var count = 0
    var at = 0
    for (code in codes) {
        held = held shl bits or code
        count += bits
        while (count >= 8) {
            count -= 8
            packed[at++] = (held shr count).toByte()
        }
        held = held and (1 shl count) - 1
    }
    if (count > 0) packed[at] = (held shl 8 - count).toByte()
    return packed
}

/** Return `count` ids of packed bytes; raises IllegalArgumentException for another length or a fill with ones. */
fun unpackCodes(data: ByteArray, count: Int, bits: Int = 12): IntArray {
    checkBits(bits)
    val expected = (maxOf(count, 0).toLong() * bits + 7) / 8
    require(count >= 0 && data.size.toLong() == expected) {
        "${data.size} bytes do not hold $count ids of $bits bits; expected $expected bytes"
    }
    val codes = IntArray(count)
    var held = 0
    var have = 0
    var at = 0
    for (index in codes.indices) {
        while (have < bits) {
            held = held shl 8 or (data[at++].toInt() and 0xff)
            have += 8
        }
        have -= bits
        codes[index] = held shr have
        held = held and (1 shl have) - 1
    }
    require(held == 0) {
        "the last byte ${data.last().toInt() and 0xff} is filled with ones; expected zeros after $count ids"
    }
    return codes
}

private fun packedSize(count: Int, bits: Int): Int = Math.toIntExact((count.toLong() * bits + 7) / 8)

private fun checkBits(bits: Int) = require(bits in 1..MOST_BITS) { "$bits bits an id; expected 1 to $MOST_BITS" }
