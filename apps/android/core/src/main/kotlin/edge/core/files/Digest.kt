package edge.core.files

import edge.core.manifest.FileEntry
import edge.core.manifest.Manifest
import java.io.File
import java.io.InputStream
import java.security.MessageDigest

internal const val BUFFER_BYTES = 64 shl 10

/** Return the lower-case hex SHA-256 of a file, read in pieces. */
fun sha256(file: File): String = file.inputStream().use(::sha256)

/** Return the lower-case hex SHA-256 of what is left of a stream, which stays open. */
fun sha256(stream: InputStream): String {
    val digest = MessageDigest.getInstance("SHA-256")
    val buffer = ByteArray(BUFFER_BYTES)
    while (true) {
        val count = stream.read(buffer)
        if (count < 0) return hex(digest.digest())
        digest.update(buffer, 0, count)
    }
}

/** Return the lower-case hex SHA-256 of bytes. */
fun sha256(bytes: ByteArray): String = hex(MessageDigest.getInstance("SHA-256").digest(bytes))

private fun hex(bytes: ByteArray): String = bytes.joinToString("") { byte -> "%02x".format(byte) }

/** Say whether a file is what an entry of a manifest names: its size and its SHA-256. */
fun isWhole(file: File, entry: FileEntry): Boolean =
    file.isFile && file.length() == entry.bytes && sha256(file) == entry.sha256

/** Hash every file of an artifact's folder again and return the first entry that is missing or differs, or null. */
fun checkFiles(folder: File, manifest: Manifest): FileEntry? =
    manifest.files.firstOrNull { !isWhole(File(folder, it.name), it) }
