package edge.app

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import edge.core.image.Picture
import java.io.IOException

private const val LONGEST = 2048 // pixels; a model's input is far smaller

/** Read a photo that the user chose, upright, shrunk to at most about 2048 pixels; raises IOException. */
fun ContentResolver.readPhoto(from: Uri): Bitmap {
    val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    openInputStream(from)?.use { BitmapFactory.decodeStream(it, null, bounds) }
    val options = BitmapFactory.Options().apply {
        inPreferredConfig = Bitmap.Config.ARGB_8888
        inSampleSize = maxOf(1, Integer.highestOneBit(maxOf(bounds.outWidth, bounds.outHeight) / LONGEST))
    }
    val stored = openInputStream(from)?.use { BitmapFactory.decodeStream(it, null, options) }
        ?: throw IOException("$from is no picture that this phone reads")
    return stored.turned(openInputStream(from)?.use { degrees(ExifInterface(it)) } ?: 0)
}

/** Phones store pictures as the sensor lies, and beside them how to turn them. */
private fun degrees(exif: ExifInterface): Int =
    when (exif.getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)) {
        ExifInterface.ORIENTATION_ROTATE_90 -> 90
        ExifInterface.ORIENTATION_ROTATE_180 -> 180
        ExifInterface.ORIENTATION_ROTATE_270 -> 270
        else -> 0
    }

private fun Bitmap.turned(degrees: Int): Bitmap {
    if (degrees == 0) return this
    val matrix = Matrix().apply { setRotate(degrees.toFloat()) }
    return Bitmap.createBitmap(this, 0, 0, width, height, matrix, true)
}

/** Return a bitmap's pixels; what is transparent becomes what lies under it. */
fun Bitmap.toPicture(): Picture {
    val row = IntArray(width)
    val rgb = ByteArray(width * height * 3)
    var at = 0
    for (y in 0 until height) {
        getPixels(row, 0, width, 0, y, width, 1)
        for (argb in row) {
            rgb[at++] = (argb shr 16).toByte()
            rgb[at++] = (argb shr 8).toByte()
            rgb[at++] = argb.toByte()
        }
    }
    return Picture(width, height, rgb)
}
