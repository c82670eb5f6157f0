package edge.core.files

import edge.core.manifest.FileEntry
import java.io.File
import java.util.Random
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertTrue
import org.junit.Rule
import org.junit.rules.TemporaryFolder

internal const val TRIES = 3

/** A file to be downloaded into a folder that is empty at first. */
abstract class DownloadCase {
    @get:Rule
    val folder = TemporaryFolder()

    protected val data = ByteArray(300_000).also { Random(1).nextBytes(it) }
    protected val entry = FileEntry("model.bin", data.size.toLong(), sha256(data))
    protected val to: File get() = File(folder.root, "model.bin")
    protected val part: File get() = File(folder.root, "model.bin.part")

    internal fun goodServer(etag: String? = ETAG) = FileServer { exchange, asked -> exchange.send(data, asked, etag) }

    internal fun downloader(tries: Int = TRIES) = Downloader(tries = tries, pauseMs = { 0 })

    internal fun download(server: FileServer, with: Downloader = downloader(), onState: (Download) -> Unit = {}) =
        with.download(server.file, entry, to, onState = onState)

    /** Leave what an earlier call left. */
    internal fun begin(server: FileServer, bytes: ByteArray = data.copyOf(100_000)) {
        File(folder.root, "model.bin.part.version").writeText("${server.file}\n$ETAG")
        part.writeBytes(bytes)
    }

    internal fun assertFails(server: FileServer, failure: Failure) {
        val failed = assertIs<Download.Failed>(download(server), "$failure")
        assertEquals(failure, failed.failure, failed.message)
        assertTrue(failed.message.isNotEmpty())
        assertEquals(emptyList(), folder.root.list().orEmpty().toList(), "$failure leaves something")
    }
}
