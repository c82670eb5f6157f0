package edge.core.files

import java.net.URI
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import org.junit.Test

class LyingServerTest : DownloadCase() {
    @Test
    fun aChangedFileIsFetchedFromItsBeginning(): Unit = FileServer { exchange, asked ->
        val old = asked.ifRange == null
        val file = if (old) ByteArray(data.size) else data
        exchange.send(file, asked, etag = if (old) ETAG else "\"v2\"", cut = if (old) 9_000 else data.size)
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
    fun aDamagedPartIsFetchedAgainInOnePiece(): Unit = goodServer().use {
        begin(it, ByteArray(100_000))
        assertIs<Download.Done>(download(it))
        assertEquals(listOf("bytes=100000-", null), it.asked.map { asked -> asked.range })
        assertContentEquals(data, to.readBytes())
    }

    @Test
    fun aPartLongerThanTheFileIsDropped(): Unit = goodServer().use {
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
            "http://user@127.0.0.1/a", "https://user:word@example.com/a", "ftp://127.0.0.1/a", "file:///etc/passwd",
            "a",
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
    fun anEncodedBodyIsRefused(): Unit = FileServer { exchange, asked ->
        exchange.responseHeaders.set("Content-Encoding", "gzip")
        exchange.send(data, asked)
    }.use { assertFails(it, Failure.REFUSED) }

    private fun objectionTo(address: String): String? = objection(URI(address))
}
