package edge.core.files

import edge.core.manifest.FileEntry
import java.io.File
import java.util.Random
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit.SECONDS
import kotlin.concurrent.thread
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class DownloadPropertyTest {
    @get:Rule
    val folder = TemporaryFolder()

    /** Cut anywhere any number of times, refuse, forget ranges, restart the app: the bytes are the same in the end. */
    @Test
    fun howeverItIsCutTheBytesAreTheSame() {
        for (seed in 1L..30L) {
            val random = Random(seed)
            val size = random.nextInt(if (seed % 7 == 0L) 3 else 200_000)
            val data = ByteArray(size).also(random::nextBytes)
            val entry = FileEntry("m", data.size.toLong(), sha256(data))
            val to = File(folder.root, "$seed")
            var cuts = random.nextInt(20)
            FileServer { exchange, asked ->
                val fault = if (cuts-- > 0) random.nextInt(10) else -1
                when (fault) {
                    0 -> exchange.sendHead(503, 0)
                    1 -> exchange.send(data, Asked(asked.path, null, null), cut = random.nextInt(data.size + 1))
                    2 -> exchange.sendHead(416, 0).also { if (asked.range == null) cuts = 0 }
                    3 -> exchange.close()
                    -1 -> exchange.send(data, asked)
                    else -> exchange.send(data, asked, cut = random.nextInt(data.size + 1))
                }
            }.use { server ->
                var calls = 0
                do {
                    val tries = random.nextInt(4) + 1
                    val end = Downloader(tries = tries, pauseMs = { 0 }).download(server.file, entry, to)
                    if (end is Download.Failed) assertEquals(false, to.exists(), "seed $seed: $end")
                } while (end !is Download.Done && ++calls < 100)
                assertTrue(calls < 100, "seed $seed does not end")
                assertContentEquals(data, to.readBytes(), "seed $seed")
            }
        }
        assertEquals(30, folder.root.list()?.size, "parts are left")
    }

    @Test
    fun aCancelEndsAStalledDownloadAndKeepsWhatIsHere() {
        val data = ByteArray(300_000).also { Random(2).nextBytes(it) }
        val entry = FileEntry("m", data.size.toLong(), sha256(data))
        val (stalled, over) = CountDownLatch(1) to CountDownLatch(1)
        val to = File(folder.root, "m")
        FileServer { exchange, asked ->
            if (asked.range != null) return@FileServer exchange.send(data, asked)
            exchange.send(data, asked, cut = 100_000)
            stalled.countDown()
            over.await(60, SECONDS)
        }.use { server ->
            val cancel = Cancel()
            var end: Download.End? = null
            val running = thread { end = Downloader().download(server.file, entry, to, cancel = cancel) }
            assertTrue(stalled.await(30, SECONDS))
            Thread.sleep(300)
            val begin = System.nanoTime()
            cancel.cancel()
            val cancelMs = (System.nanoTime() - begin) / 1_000_000
            running.join(10_000)
            over.countDown()
            assertIs<Download.Cancelled>(end, "after 10 s: $end")
            assertTrue(cancelMs < 1000, "cancel() itself took $cancelMs ms")
            assertIs<Download.Done>(Downloader().download(server.file, entry, to))
            assertEquals("bytes=100000-", server.asked.last().range)
            assertContentEquals(data, to.readBytes())
        }
    }

    @Test
    fun aCancelBeforehandAsksNobody() {
        val cancel = Cancel().also { it.cancel() }
        FileServer { exchange, _ -> exchange.sendHead(500, 0) }.use { server ->
            val entry = FileEntry("m", 5, sha256(ByteArray(5)))
            val end = Downloader().download(server.file, entry, File(folder.root, "m"), cancel = cancel)
            assertIs<Download.Cancelled>(end)
            assertEquals(0, server.asked.size)
            assertEquals(0, folder.root.list()?.size)
        }
    }

    @Test
    fun twoDownloadsOfOneFileDoNotMix() {
        val data = ByteArray(1000)
        val entry = FileEntry("m", data.size.toLong(), sha256(data))
        val (first, second) = CountDownLatch(1) to CountDownLatch(1)
        val to = File(folder.root, "m")
        FileServer { exchange, asked ->
            first.countDown()
            second.await(60, SECONDS)
            exchange.send(data, asked)
        }.use { server ->
            var end: Download.End? = null
            val running = thread { end = Downloader().download(server.file, entry, to) }
            assertTrue(first.await(30, SECONDS))
            val busy = Downloader().download(server.file, entry, to)
            second.countDown()
            running.join(30_000)
            assertEquals(Failure.BUSY, assertIs<Download.Failed>(busy).failure)
            assertIs<Download.Done>(end)
        }
    }
}
