package edge.core.image

import edge.core.golden.Golden
import edge.core.golden.getValue
import edge.core.golden.int
import edge.core.golden.list
import edge.core.golden.part
import edge.core.golden.text
import edge.core.json.JsonObject
import java.nio.ByteBuffer

/** Return the pattern of the golden vectors: (x · (3 + c) + y · (5 − c) + x · y) mod 256. */
internal fun pattern(width: Int, height: Int): Picture {
    val rgb = ByteArray(width * height * 3)
    for (y in 0 until height) {
        for (x in 0 until width) {
            for (c in 0 until 3) rgb[(y * width + x) * 3 + c] = (x * (3 + c) + y * (5 - c) + x * y).toByte()
        }
    }
    return Picture(width, height, rgb)
}

internal fun Golden.source(name: String): Source {
    val json = head.part("sources").part(name)
    return when (json.text("kind")) {
        "pattern" -> pattern(json.int("width"), json.int("height"))
        "yuv" -> yuv(json)
        else -> {
            val (height, width) = json.part("rgb").list("shape").map { it.int() }
            Picture(width, height, bytes(json.getValue("rgb")))
        }
    }
}

private fun Golden.yuv(json: JsonObject): YuvFrame {
    val planes = json.list("planes").map { it as JsonObject }
    val buffers = planes.map { ByteBuffer.wrap(bytes(it.getValue("bytes"))) }
    val layouts = planes.map { PlaneLayout(it.int("row_stride"), it.int("pixel_stride")) }
    val frame = YuvFrame()
    frame.fill(json.int("width"), json.int("height"), buffers[0], buffers[1], buffers[2], layouts[0], layouts[1])
    return frame
}

/** Return camera planes of a pattern: luma with padded rows, chroma interleaved, as most phones give them. */
internal fun cameraFrame(width: Int, height: Int): YuvFrame {
    val row = width + 64
    val luma = ByteBuffer.wrap(ByteArray(row * height) { (it * 7 + it / row * 3).toByte() })
    val chroma = ByteArray(row * ((height + 1) / 2)) { (it * 5 + 31).toByte() }
    val red = ByteBuffer.wrap(chroma)
    val blue = ByteBuffer.wrap(chroma, 1, chroma.size - 1).slice()
    val frame = YuvFrame()
    frame.fill(width, height, luma, blue, red, PlaneLayout(row, 1), PlaneLayout(row, 2))
    return frame
}
