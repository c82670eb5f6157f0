package edge.core.client

import edge.core.oip.AnswerError
import edge.core.oip.HEADER
import edge.core.policy.Mode
import edge.core.policy.Side
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

private const val SLACK_MS = 3000.0 // of a busy machine; what is shown is that a call ends, not how soon

/** Servers that fail: no call outlasts its deadline, and each falls back or says rightly why not. */
class FaultsTest {
    private fun timed(runner: FallbackRunner, deadlineMs: Double, mode: Mode? = null): Answer<Map<String, FloatArray>> {
        val began = nowMs()
        try {
            return runner.call(input(), deadlineMs = deadlineMs, mode = mode)
        } finally {
            assertTrue(nowMs() - began < deadlineMs + SLACK_MS)
        }
    }

    private fun broken(name: String, text: String) = broken(name) { it.getOutputStream().write(text.toByteArray()) }

    /** See that the device takes over, and that without it the call fails with an answer's error. */
    private fun broken(name: String, canned: (Socket) -> Unit): Throwable? = faulty(canned).use { server ->
        granted(server.url).use { runner ->
            val answer = timed(runner, 5000.0)
            assertEquals(name, Side.DEVICE, answer.ranOn)
            val outcome = answer.attempts.first { it.side == Side.SERVER }.outcome
            assertTrue("$name $outcome", outcome == Outcome.FAILED || outcome == Outcome.CANCELLED)
            val failure = assertThrows(name, CallFailed::class.java) { timed(runner, 5000.0, Mode.ONLY_SERVER) }
            assertTrue("$name ${failure.cause}", failure.cause is AnswerError || failure.cause is Unreachable)
            failure.cause
        }
    }

    @Test
    fun garbage() {
        val ok = "HTTP/1.1 200 OK\r\n"
        val (size, body) = answered(TWICE)
        val whole = String(body, Charsets.ISO_8859_1)
        broken("zeros", "\u0000".repeat(200))
        broken("ssh", "SSH-2.0-x\r\n\r\n")
        broken("http/2", "HTTP/2 200 OK\r\n\r\n")
        broken("status", "HTTP/1.1 2000 OK\r\n\r\n")
        broken("no json", "${ok}Content-Length: 5\r\n\r\n\u0000\u00ff{]}")
        broken("announced too long", "${ok}Content-Length: 999999999999\r\n\r\n")
        broken("length is a word", "${ok}Content-Length: ten\r\n\r\n")
        broken("two lengths", "${ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
        broken("length and chunks", "${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        broken("unknown coding", "${ok}Transfer-Encoding: gzip\r\n\r\n")
        broken("compressed", "${ok}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")
        broken("chunk size", "${ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        broken("chunk overrun", "${ok}Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n")
        broken("huge chunk", "${ok}Transfer-Encoding: chunked\r\n\r\nffffffff\r\nabc")
        broken("header without colon", "${ok}what is this\r\n\r\n")
        broken("header name", "${ok}a b: c\r\n\r\n")
        broken("switching", "HTTP/1.1 101 Switching Protocols\r\n\r\n")
        broken("interim for ever", "HTTP/1.1 100 Continue\r\n\r\n".repeat(20))
        broken("cut body", "${ok}Content-Length: 500\r\n\r\nabc")
        broken("cut head", "HTTP/1.1 200 OK\r\nContent-Le")
        broken("nothing", "")
        broken("header length above the body", "${ok}$HEADER: ${size + 1000}\r\nContent-Length: ${body.size}\r\n\r\n$whole")
        broken("no header length", "${ok}Content-Length: ${body.size}\r\n\r\n$whole")
    }

    @Test
    fun anAnswerInChunksAndOneWithoutALengthAreRead() {
        val (size, body) = answered(TWICE)
        val whole = String(body, Charsets.ISO_8859_1)
        val chunks = whole.chunked(50).joinToString("") { "${it.length.toString(16)};x=1\r\n$it\r\n" } + "0\r\nT: x\r\n\r\n"
        for (text in listOf(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n$HEADER: $size\r\nTransfer-Encoding: chunked\r\n\r\n$chunks",
            "HTTP/1.0 200 OK\r\n$HEADER: $size\r\n\r\n$whole",
        )) {
            faulty { it.getOutputStream().write(text.toByteArray(Charsets.ISO_8859_1)) }.use { server ->
                granted(server.url, policy = ONLY_SERVER).use { assertEquals(Side.SERVER, timed(it, 5000.0).ranOn) }
            }
        }
    }

    @Test
    fun whatHasNoEndIsLeft() {
        val body = broken("body") { socket ->
            socket.getOutputStream().write("HTTP/1.1 200 OK\r\n\r\n".toByteArray())
            while (true) socket.getOutputStream().write(ByteArray(1 shl 16))
        }
        assertTrue(body?.message.orEmpty(), "above the limit" in body?.message.orEmpty())
        val head = broken("head") { socket ->
            socket.getOutputStream().write("HTTP/1.1 200 OK\r\nX: ".toByteArray())
            while (true) socket.getOutputStream().write(ByteArray(1 shl 12) { 'a'.code.toByte() })
        }
        assertTrue(head?.message.orEmpty(), "the head is above" in head?.message.orEmpty())
    }

    @Test
    fun silenceAndTrickling() {
        val faults: List<(Socket) -> Unit> = listOf(
            ::drain,
            { socket ->
                socket.getOutputStream().write("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n".toByteArray())
                while (true) {
                    socket.getOutputStream().write('{'.code)
                    Thread.sleep(20)
                }
            },
        )
        for (fault in faults) {
            faulty(fault).use { server ->
                granted(server.url).use { runner ->
                    val answer = timed(runner, 600.0) // the device's time is unknown: it gets the second half
                    assertEquals(Side.DEVICE, answer.ranOn)
                    assertEquals(Outcome.TIMED_OUT, answer.attempts[0].outcome)
                    assertTrue(answer.attempts[0].endedMs in 290.0..600.0)
                    val failure = assertThrows(DeadlineMissed::class.java) { timed(runner, 200.0, Mode.ONLY_SERVER) }
                    assertEquals(listOf(Outcome.TIMED_OUT), failure.attempts.map { it.outcome })
                    eventually { server.open.get() == 0 }
                }
            }
        }
    }

    @Test
    fun nobodyListens() {
        val port = ServerSocket(0, 1, InetAddress.getLoopbackAddress()).use { it.localPort }
        granted("http://127.0.0.1:$port").use { runner ->
            assertEquals(Side.DEVICE, timed(runner, 5000.0).ranOn)
            val failure = assertThrows(CallFailed::class.java) { timed(runner, 5000.0, Mode.ONLY_SERVER) }
            assertTrue(failure.cause is Unreachable)
            assertEquals(2, failure.attempts.size) // once more, as there was no connection
        }
    }

    @Test
    fun aKeptConnectionThatTheServerHasClosedIsReplaced() {
        val (size, body) = answered(TWICE)
        val head = "HTTP/1.1 200 OK\r\n$HEADER: $size\r\nContent-Length: ${body.size}\r\n\r\n"
        faulty { it.getOutputStream().write(head.toByteArray() + body) }.use { server ->
            granted(server.url, policy = ONLY_SERVER).use { runner ->
                repeat(5) {
                    val answer = timed(runner, 5000.0)
                    assertEquals(1, answer.attempts.size)
                    eventually { server.open.get() == 0 }
                }
            }
            assertEquals(5, server.connections.get())
        }
    }

    @Test
    fun aServerThatIsGoneForAMinuteIsLeftAlone() {
        var ms = 1000.0
        val port = ServerSocket(0, 1, InetAddress.getLoopbackAddress()).use { it.localPort }
        granted("http://127.0.0.1:$port", clock = { ms }).use { runner ->
            var tried = 0
            repeat(60) {
                val answer = timed(runner, 5000.0)
                assertEquals(Side.DEVICE, answer.ranOn)
                if (answer.attempts[0].side == Side.SERVER) tried++
                ms += 1000.0
            }
            assertTrue("$tried", tried in 10..15) // ten until the breaker opened, then probes
            assertThrows(Unavailable::class.java) { timed(runner, 5000.0, Mode.ONLY_SERVER) }
        }
    }
}
