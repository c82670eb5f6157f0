package edge.core.files

import edge.core.manifest.FileEntry
import java.io.File
import java.net.URI

/**
 * Downloads files whose size and SHA-256 are known, over connections that break.
 *
 * `tries` bounds the attempts in a row that bring nothing new; before the n-th of them it waits
 * `pauseMs(n)`.
 */
class Downloader(
    private val http: Http = UrlConnectionHttp(),
    private val tries: Int = 5,
    private val freeBytes: (File) -> Long = { it.usableSpace },
    private val pauseMs: (Int) -> Long = { n -> if (n == 0) 0 else 250L shl minOf(n, 6) },
) {
    /**
     * Download one file and return how it ended; `to` only ever holds what `entry` names, or what was there before.
     *
     * What is here so far stands in `part`, and a later call goes on from it. Call it where it may block; `onState` is
     * called from this thread or from the connection's, one call after the other.
     */
    fun download(
        from: URI,
        entry: FileEntry,
        to: File,
        part: File = File(to.path + ".part"),
        cancel: Cancel = Cancel(),
        onState: (Download) -> Unit = {},
    ): Download.End {
        val end = try {
            if (isWhole(to, entry)) {
                Download.Done(to)
            } else {
                PartFile(part).use { run(from, entry, to, it, cancel, onState) }
            }
        } catch (trouble: Trouble) {
            Download.Failed(trouble.failure, trouble.message.orEmpty(), part.length())
        }
        onState(end)
        return end
    }

    private fun run(
        from: URI,
        entry: FileEntry,
        to: File,
        part: PartFile,
        cancel: Cancel,
        onState: (Download) -> Unit,
    ): Download.End {
        checkSpace(to, entry.bytes - part.bytes)
        val fetch = Fetch(http, from, entry, part, cancel, onState)
        var inherited = part.bytes > 0
        var most = part.bytes
        var barren = 0
        while (!cancel.isCancelled) {
            try {
                fetch.attempt()
                onState(Download.Checking)
                finish(part, entry, to, inherited || fetch.resumed)
                return Download.Done(to)
            } catch (trouble: Trouble) {
                if (trouble.drop) part.restart(null, null)
                if (trouble.final) throw trouble
                if (trouble.failure == Failure.WRONG_DIGEST) {
                    inherited = false
                    fetch.resumed = false
                    most = 0
                }
                barren = if (part.bytes > most) 0 else barren + 1
                most = maxOf(most, part.bytes)
                if (cancel.isCancelled) break
                if (barren >= tries) throw trouble
                cancel.sleep(pauseMs(barren))
            }
        }
        part.flush()
        return Download.Cancelled(part.bytes)
    }

    /** Raise Trouble if so many bytes do not fit where `to` is to be. */
    internal fun checkSpace(to: File, needed: Long) {
        val folder = generateSequence(to.absoluteFile.parentFile) { it.parentFile }.first { it.exists() }
        val free = freeBytes(folder)
        if (free < needed) {
            throw Trouble(Failure.NO_SPACE, "$needed bytes are needed, $free are free; free some storage", final = true)
        }
    }

    /** What was pieced together may be of several versions: it is fetched once more, in one piece. */
    private fun finish(part: PartFile, entry: FileEntry, to: File, pieced: Boolean) {
        part.flush()
        val found = part.digest()
        if (found != entry.sha256) {
            val message = "${entry.name} has the SHA-256 $found; the manifest says ${entry.sha256}"
            throw Trouble(Failure.WRONG_DIGEST, message, drop = true, final = !pieced)
        }
        part.renameTo(to)
    }
}
