package edge.core.files

import edge.core.manifest.FileEntry
import java.io.File
import java.net.ServerSocket
import java.net.URI
import kotlin.concurrent.thread
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Test

class DownloaderTest : DownloadCase() {
    @Test
    fun aWholeFileIsDownloadedAndNothingElseIsLeft(): Unit = goodServer().use {
        val states = mutableListOf<Download>()
        assertEquals(Download.Done(to), download(it, onState = states::add))
        assertContentEquals(data, to.readBytes())
        assertEquals(listOf("model.bin"), folder.root.list()?.toList())
        assertIs<Download.Connecting>(states.first())
        assertEquals(listOf(Download.Checking, Download.Done(to)), states.takeLast(2))
        val received = states.filterIsInstance<Download.Receiving>().map { state -> state.bytes }
        assertEquals(received.sorted(), received)
    }

    @Test
    fun aCutIsGoneOnFromWithRangeAndIfRange(): Unit = FileServer { exchange, asked ->
        exchange.send(data, asked, cut = if (asked.range == null) 100_000 else Int.MAX_VALUE)
    }.use {
        assertIs<Download.Done>(download(it))
        assertContentEquals(data, to.readBytes())
        assertEquals(listOf(null, "bytes=100000-"), it.asked.map { asked -> asked.range })
        assertEquals(listOf(null, ETAG), it.asked.map { asked -> asked.ifRange })
    }

    @Test
    fun whatIsHereSurvivesAFailure(): Unit = FileServer { exchange, asked ->
        if (asked.range == null) exchange.send(data, asked, cut = 100_000) else exchange.sendHead(503, 0)
    }.use {
        val failed = assertIs<Download.Failed>(download(it))
        assertEquals(Failure.UNAVAILABLE, failed.failure)
        assertEquals(100_000, failed.bytes)
        assertFalse(to.exists())
        it.answer = { exchange, asked -> exchange.send(data, asked) }
        assertIs<Download.Done>(download(it))
        assertEquals("bytes=100000-", it.asked.last().range)
        assertContentEquals(data, to.readBytes())
    }

    @Test
    fun withoutAValidatorNothingIsGoneOnFrom(): Unit = goodServer(etag = null).use {
            part.writeBytes(data.copyOf(1000))
            assertIs<Download.Done>(download(it))
            assertNull(it.asked.single().range)
        }

    @Test
    fun aRefusalIsNotAskedForAgainABusyServerIs() {
        for (status in listOf(400, 401, 403, 404, 410)) {
            FileServer { exchange, _ -> exchange.sendHead(status, 0) }.use {
                assertFails(it, Failure.REFUSED)
                assertEquals(1, it.asked.size)
            }
        }
        for (status in listOf(408, 429, 500, 503)) {
            FileServer { exchange, _ -> exchange.sendHead(status, 0) }.use {
                assertFails(it, Failure.UNAVAILABLE)
                assertEquals(TRIES, it.asked.size)
            }
        }
    }

    @Test
    fun aServerThatNeverSendsAnythingNewIsGivenUp(): Unit = FileServer { exchange, asked ->
        exchange.send(data, asked, cut = if (asked.range == null) 100_000 else 0)
    }.use {
        val failed = assertIs<Download.Failed>(download(it))
        assertTrue(failed.failure in setOf(Failure.TRUNCATED, Failure.NETWORK))
        assertEquals(1 + TRIES, it.asked.size)
        assertFalse(to.exists())
        assertEquals(100_000, part.length())
    }

    @Test
    fun nobodyThereAndNoHttpAreTheNetworks() {
        val port = ServerSocket(0).use { it.localPort }
        val end = downloader().download(URI("http://127.0.0.1:$port/a"), entry, to)
        assertEquals(Failure.NETWORK, assertIs<Download.Failed>(end).failure)
        ServerSocket(0).use { socket ->
            thread(isDaemon = true) {
                while (!socket.isClosed) runCatching {
                    socket.accept().use { it.getOutputStream().write("SSH-2.0-x\r\n\r\n".toByteArray()) }
                }
            }
            val other = downloader().download(URI("http://127.0.0.1:${socket.localPort}/a"), entry, to)
            assertEquals(Failure.NETWORK, assertIs<Download.Failed>(other).failure)
        }
    }

    @Test
    fun aFullStorageIsSeenBeforeAnythingIsAsked(): Unit = goodServer().use {
        val end = download(it, Downloader(freeBytes = { data.size - 1L }))
        assertEquals(Failure.NO_SPACE, assertIs<Download.Failed>(end).failure)
        assertEquals(0, it.asked.size)
        assertIs<Download.Done>(download(it, Downloader(freeBytes = { data.size.toLong() })))
    }

    @Test
    fun aStorageThatCannotBeWrittenIsNamed(): Unit = goodServer().use {
        val file = folder.newFile("file")
        val end = downloader().download(it.file, entry, File(file, "model.bin"))
        assertEquals(Failure.STORAGE, assertIs<Download.Failed>(end).failure)
    }

    @Test
    fun aFileThatIsHereIsNotAskedForAWrongOneStaysUntilTheRightOneIs(): Unit = FileServer { exchange, _ ->
        exchange.sendHead(404, 0)
    }.use {
        to.writeBytes(ByteArray(7))
        assertIs<Download.Failed>(download(it))
        assertEquals(7, to.length())
        it.answer = { exchange, asked -> exchange.send(data, asked) }
        assertIs<Download.Done>(download(it))
        val before = it.asked.size
        assertIs<Download.Done>(download(it))
        assertEquals(before, it.asked.size)
    }

    @Test
    fun anEmptyFileNeedsNoServer() {
        val silent = Http { _, _ -> throw AssertionError("asked") }
        val none = FileEntry("model.bin", 0, sha256(ByteArray(0)))
        assertIs<Download.Done>(Downloader(silent).download(URI("https://example.com/a"), none, to))
        assertEquals(0, to.length())
    }
}
