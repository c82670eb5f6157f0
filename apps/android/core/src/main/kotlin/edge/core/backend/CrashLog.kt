package edge.core.backend

import edge.core.files.moveAtomic
import edge.core.json.JsonError
import edge.core.json.JsonReader
import edge.core.json.jsonOf
import edge.core.json.parseJson
import edge.core.json.write
import java.io.File
import java.io.IOException

/**
 * Remembers in a file which backend was being tried, for a crash in native code leaves no other trace.
 *
 * After its n-th crash in a row a backend is left out of the next 2ⁿ − 1 starts, 63 at most; a new version of the app
 * or of the artifact begins anew. A file that cannot be read or written protects nothing, and stops nothing.
 */
class CrashLog(private val file: File) {
    private data class Entry(val version: String, val crashes: Int, val leftOut: Int)

    private var trying: Pair<String, String>? = null
    private var entries: Map<String, Entry> = emptyMap()

    /** Begin a start: what was being tried when the last one ended has crashed. */
    internal fun begin() {
        read()
        entries = entries.mapValues { (_, entry) -> entry.copy(leftOut = maxOf(0, entry.leftOut - 1)) }
        val (name, version) = trying ?: return write()
        val before = entries[name]?.takeIf { it.version == version }?.crashes ?: 0
        val crashes = minOf(before + 1, MOST_CRASHES)
        entries = entries + (name to Entry(version, crashes, (1 shl crashes) - 1))
        trying = null
        write()
    }

    /** Return why a candidate is left out of this start, or null. */
    internal fun objection(candidate: Candidate): String? {
        val entry = entries[candidate.name]?.takeIf { it.version == candidate.version } ?: return null
        return if (entry.leftOut > 0) "it ended the app ${entry.crashes} times; left out for now" else null
    }

    internal fun trying(candidate: Candidate) {
        trying = candidate.name to candidate.version
        write()
    }

    /** It refused in an orderly way. */
    internal fun refused() {
        trying = null
        write()
    }

    /** It ran; its crashes are forgiven. */
    internal fun survived() {
        val (name, _) = trying ?: return
        entries = entries - name
        refused()
    }

    private fun read() {
        trying = null
        entries = emptyMap()
        try {
            val found = JsonReader(parseJson(file.readText())).members()
            val crashes = found.getValue("crashes").members().mapValues { (_, entry) -> entry.entry() }
            trying = found["trying"]?.orNull { items().map { it.string() }.let { it[0] to it[1] } }
            entries = crashes
        } catch (_: IOException) {
            return
        } catch (_: JsonError) {
            return
        } catch (_: NoSuchElementException) {
            return
        } catch (_: IndexOutOfBoundsException) {
            return
        }
    }

    private fun JsonReader.entry(): Entry = members().run {
        Entry(
            getValue("version").string(),
            getValue("crashes").int().coerceIn(0, MOST_CRASHES),
            getValue("left_out").int().coerceIn(0, (1 shl MOST_CRASHES) - 1),
        )
    }

    /** The file has to be on the disk before native code is called. */
    private fun write() {
        val crashes = entries.mapValues { (_, entry) ->
            mapOf("version" to entry.version, "crashes" to entry.crashes, "left_out" to entry.leftOut)
        }
        val text = jsonOf(mapOf("trying" to trying?.toList(), "crashes" to crashes)).write()
        try {
            file.absoluteFile.parentFile?.mkdirs()
            val temporary = File(file.path + ".tmp")
            temporary.outputStream().use {
                it.write(text.toByteArray())
                it.fd.sync()
            }
            moveAtomic(temporary, file)
        } catch (_: IOException) {
            return
        }
    }

    private companion object {
        const val MOST_CRASHES = 6
    }
}
