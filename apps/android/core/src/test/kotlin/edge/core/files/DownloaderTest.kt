package edge.core.files

import edge.core.manifest.FileEntry
import java.io.File
import java.net.ServerSocket
import java.net.URI
import java.util.Random
import kotlin.concurrent.thread
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class DownloaderTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val data = ByteArray(300_000).also { Random(1).nextBytes(it) }
    private val entry = FileEntry("model.bin", data.size.toLong(), sha256(data))
    private val to: File get() = File(folder.root, "model.bin")
    private val part: File get() = File(folder.root, "model.bin.part")

    @Test
    fun aWholeFileIsDownloadedAndNothingElseIsLeft(): Unit = FileServer { exchange, asked -> exchange.send(data, asked) }.use {
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
    fun aChangedFileIsFetchedFromItsBeginning(): Unit = FileServer { exchange, asked ->
        val old = asked.ifRange == null
        if (old) exchange.send(ByteArray(data.size), asked, cut = 9_000) else exchange.send(data, asked, etag = "\"v2\"")
    }.use {
        assertIs<Download.Done>(download(it))
        assertContentEquals(data, to.readBytes())
        assertEquals(2, it.asked.size)
    }

    @Test
    fun aChangedVersionInA206IsNotAppended(): Unit = FileServer { exchange, asked ->
        if (asked.range == null) return@FileServer exchange.send(data, asked)
        exchange.responseHeaders.set("ETag", "\"v2\"")
        exchange.responseHeaders.set("Content-Range", "bytes 100000-${data.size - 1}/${data.size}")
        exchange.sendHead(206, data.size - 100_000)
        exchange.write(data, 100_000, data.size)
    }.use {
        begin(it)
        assertIs<Download.Done>(download(it))
        assertContentEquals(data, to.readBytes())
        assertNull(it.asked.last().range)
    }

    @Test
    fun a200ToARangeStartsAgain(): Unit = FileServer { exchange, asked ->
        exchange.send(data, Asked(asked.path, null, null), cut = if (asked.range == null) 100_000 else data.size)
    }.use {
        assertIs<Download.Done>(download(it))
        assertContentEquals(data, to.readBytes())
        assertEquals("bytes=100000-", it.asked.last().range)
    }

    @Test
    fun withoutAValidatorNothingIsGoneOnFrom(): Unit = FileServer { exchange, asked -> exchange.send(data, asked, etag = null) }
        .use {
            part.writeBytes(data.copyOf(1000))
            assertIs<Download.Done>(download(it))
            assertNull(it.asked.single().range)
        }

    @Test
    fun aWrongContentRangeStartsAgain() {
        val (size, last) = data.size to data.size - 1
        val wrong = listOf(
            "bytes 0-$last/$size", "bytes 100000-${last - 1}/$size", "bytes 100000-$last/${size + 1}", "bytes */$size",
            "bytes 100001-$last/$size", "100000-$last/$size", "bytes 100000-99999999999999999999/$size", null,
        )
        for (range in wrong) {
            FileServer { exchange, asked ->
                if (asked.range == null) return@FileServer exchange.send(data, asked)
                if (range != null) exchange.responseHeaders.set("Content-Range", range)
                exchange.sendHead(206, size)
                exchange.write(data, 0, size)
            }.use {
                begin(it)
                assertIs<Download.Done>(download(it), range)
                assertEquals(2, it.asked.size)
                assertContentEquals(data, to.readBytes())
                to.delete()
            }
        }
    }

    @Test
    fun a206ThatNobodyAskedForIsALie(): Unit = FileServer { exchange, _ ->
        exchange.responseHeaders.set("Content-Range", "bytes 0-${data.size - 1}/${data.size}")
        exchange.sendHead(206, data.size)
        exchange.write(data, 0, data.size)
    }.use { assertFails(it, Failure.WRONG_RANGE) }

    @Test
    fun a416StartsAgain(): Unit = FileServer { exchange, asked ->
        if (asked.range != null) exchange.sendHead(416, 0) else exchange.send(data, asked)
    }.use {
        begin(it)
        assertIs<Download.Done>(download(it))
        assertEquals(2, it.asked.size)
    }

    @Test
    fun anEndlessBodyIsLeftAtTheFirstByteTooMany(): Unit = FileServer { exchange, _ ->
        exchange.sendResponseHeaders(200, 0)
        while (true) exchange.responseBody.write(ByteArray(10_000))
    }.use { assertFails(it, Failure.WRONG_SIZE) }

    @Test
    fun aLieAboutTheSizeEndsBeforeTheBody() {
        for (size in listOf(data.size - 1, data.size + 1, 1)) {
            FileServer { exchange, _ ->
                exchange.sendHead(200, size)
                exchange.write(data, 0, size)
            }.use { assertFails(it, Failure.WRONG_SIZE) }
        }
    }

    @Test
    fun aTamperedFileIsRefused(): Unit = FileServer { exchange, asked ->
        exchange.send(data.copyOf().also { it[5] = (it[5] + 1).toByte() }, asked)
    }.use {
        assertFails(it, Failure.WRONG_DIGEST)
        assertEquals(1, it.asked.size)
    }

    @Test
    fun aDamagedPartIsFetchedAgainInOnePiece(): Unit = FileServer { exchange, asked -> exchange.send(data, asked) }.use {
        begin(it, ByteArray(100_000))
        assertIs<Download.Done>(download(it))
        assertEquals(listOf("bytes=100000-", null), it.asked.map { asked -> asked.range })
        assertContentEquals(data, to.readBytes())
    }

    @Test
    fun aPartLongerThanTheFileIsDropped(): Unit = FileServer { exchange, asked -> exchange.send(data, asked) }.use {
        begin(it, ByteArray(data.size + 1))
        assertIs<Download.Done>(download(it))
        assertNull(it.asked.single().range)
    }

    @Test
    fun aRedirectIsFollowedButNotToPlainHttpElsewhere() {
        val leads = mapOf(
            "http://example.com/model.bin" to Failure.INSECURE,
            "ftp://127.0.0.1/model.bin" to Failure.INSECURE,
            "/model.bin" to Failure.REFUSED,
            "" to Failure.REFUSED,
            "http://[" to Failure.REFUSED,
        )
        for ((location, failure) in leads) {
            FileServer { exchange, _ ->
                exchange.responseHeaders.set("Location", location)
                exchange.sendHead(302, 0)
            }.use { assertFails(it, failure) }
        }
        FileServer { exchange, asked ->
            if (asked.path == "/b") return@FileServer exchange.send(data, asked)
            exchange.responseHeaders.set("Location", "b")
            exchange.sendHead(307, 0)
        }.use { assertIs<Download.Done>(download(it)) }
    }

    @Test
    fun plainHttpIsForThisDeviceOnly() {
        val refused = listOf(
            "http://example.com/a", "http://127.0.0.1.example.com/a", "http://127.evil/a", "http://10.0.2.2/a",
            "http://user@127.0.0.1/a", "https://user:word@example.com/a", "ftp://127.0.0.1/a", "file:///etc/passwd", "a",
        )
        for (address in refused) {
            assertNotNull(objectionTo(address), address)
            val silent = Http { _, _ -> throw AssertionError("$address was asked") }
            val end = Downloader(silent).download(URI(address), entry, to)
            assertEquals(Failure.INSECURE, assertIs<Download.Failed>(end).failure)
        }
        for (address in listOf("https://example.com/a", "HTTPS://e.org/a", "http://localhost:80/a", "http://[::1]/a")) {
            assertNull(objectionTo(address), address)
        }
        assertNotNull(objection(URI("http://127.0.0.1/a"), before = URI("https://example.com/a")))
        assertNull(objection(URI("https://example.com/a"), before = URI("http://127.0.0.1/a")))
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
    fun anEncodedBodyIsRefused(): Unit = FileServer { exchange, asked ->
        exchange.responseHeaders.set("Content-Encoding", "gzip")
        exchange.send(data, asked)
    }.use { assertFails(it, Failure.REFUSED) }

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
    fun aFullStorageIsSeenBeforeAnythingIsAsked(): Unit = FileServer { exchange, asked -> exchange.send(data, asked) }.use {
        val end = download(it, Downloader(freeBytes = { data.size - 1L }))
        assertEquals(Failure.NO_SPACE, assertIs<Download.Failed>(end).failure)
        assertEquals(0, it.asked.size)
        assertIs<Download.Done>(download(it, Downloader(freeBytes = { data.size.toLong() })))
    }

    @Test
    fun aStorageThatCannotBeWrittenIsNamed(): Unit = FileServer { exchange, asked -> exchange.send(data, asked) }.use {
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

    private fun downloader(tries: Int = TRIES) = Downloader(tries = tries, pauseMs = { 0 })

    private fun download(server: FileServer, with: Downloader = downloader(), onState: (Download) -> Unit = {}) =
        with.download(server.file, entry, to, onState = onState)

    /** Leave what an earlier call left. */
    private fun begin(server: FileServer, bytes: ByteArray = data.copyOf(100_000)) {
        File(folder.root, "model.bin.part.version").writeText("${server.file}\n$ETAG")
        part.writeBytes(bytes)
    }

    private fun objectionTo(address: String): String? = objection(URI(address))

    private fun assertFails(server: FileServer, failure: Failure) {
        val failed = assertIs<Download.Failed>(download(server), "$failure")
        assertEquals(failure, failed.failure, failed.message)
        assertTrue(failed.message.isNotEmpty())
        assertEquals(emptyList(), folder.root.list().orEmpty().toList(), "$failure leaves something")
    }
}

private const val TRIES = 3
