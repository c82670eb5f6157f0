package edge.core.client

import edge.core.oip.AnswerError
import edge.core.oip.BodyLimiter
import edge.core.oip.RequestError
import edge.core.oip.printable
import java.io.EOFException
import java.io.InputStream

private const val MOST_HEAD_BYTES = 64 shl 10
private const val MOST_INTERIM = 8 // answers of 1xx before the one that counts
private const val CHUNK_BYTES = 1 shl 14
private val STATUS = Regex("HTTP/1\\.([01]) ([1-5][0-9]{2})( .*)?")
private val CHUNK_SIZE = Regex("[0-9A-Fa-f]{1,8}")
private val NAME = Regex("[!#$%&'*+.^_`|~0-9A-Za-z-]+")

/** An answer: its status, its headers by lower-case name, its body; `keep` says whether its connection can go on. */
internal class Reply(val status: Int, val headers: Map<String, String>, val body: ByteArray, val keep: Boolean)

/** An answer's status line and headers. */
internal class Head(val status: Int, val headers: Map<String, String>, private val persistent: Boolean) {
    val keep: Boolean get() = persistent && headers["connection"]?.lowercase() != "close"
}

/** Reads one answer of HTTP/1.1; raises AnswerError for what is none, EOFException where the connection ends early. */
internal class AnswerReader(private val input: InputStream, private val limitBytes: Int) {
    private var headBytes = 0

    /** Return the first head that is no interim one. */
    fun head(): Head {
        repeat(MOST_INTERIM) {
            val head = oneHead()
            if (head.status == 101) throw AnswerError("the server switches to another protocol")
            if (head.status >= 200) return head
        }
        throw AnswerError("the server sends more than $MOST_INTERIM interim answers")
    }

    /** Return the body, read as it streams in and left as soon as it is above the limit. */
    fun body(head: Head): ByteArray {
        val headers = head.headers
        if (head.status in 300..399) {
            throw AnswerError("the server redirects (${head.status}), which is not followed; give its address")
        }
        val coding = headers["transfer-encoding"]
        try {
            val limiter = BodyLimiter(limitBytes, headers["content-length"], headers["content-encoding"])
            when {
                coding != null && headers["content-length"] != null ->
                    throw RequestError("it has a Content-Length and a Transfer-Encoding")
                coding?.trim()?.lowercase() == "chunked" -> chunks(limiter)
                coding != null -> throw RequestError("its Transfer-Encoding '${printable(coding, 40)}' is not known")
                head.status == 204 -> Unit
                else -> rest(limiter, headers["content-length"]?.trim()?.toLong())
            }
            return limiter.finish()
        } catch (error: RequestError) {
            throw AnswerError("the server's answer is not taken: ${error.message}")
        }
    }

    private fun oneHead(): Head {
        val line = line()
        val found = STATUS.matchEntire(line)
            ?: throw AnswerError("the server does not speak HTTP/1.1: ${printable(line, 60)}")
        val (minor, status) = found.destructured
        return Head(status.toInt(), headers(), minor == "1")
    }

    private fun headers(): Map<String, String> {
        val found = LinkedHashMap<String, String>()
        while (true) {
            val line = line()
            if (line.isEmpty()) return found
            val name = line.substringBefore(':')
            if (':' !in line || !NAME.matches(name)) {
                throw AnswerError("a header cannot be read: ${printable(line, 60)}")
            }
            val value = line.substringAfter(':').trim(' ', '\t')
            val before = found.put(name.lowercase(), value)
            if (before != null && before != value) {
                if (name.lowercase() == "content-length") throw AnswerError("the server gives two Content-Lengths")
                found[name.lowercase()] = "$before, $value"
            }
        }
    }

    private fun chunks(limiter: BodyLimiter) {
        while (true) {
            headBytes = 0
            val size = line().substringBefore(';').trim()
            if (!CHUNK_SIZE.matches(size)) throw RequestError("a chunk's size is '${printable(size, 40)}'")
            val bytes = size.toLong(16)
            if (bytes == 0L) break
            rest(limiter, bytes)
            if (line().isNotEmpty()) throw RequestError("a chunk is longer than its size")
        }
        headBytes = 0
        headers() // the trailer, which says nothing here
    }

    /** Feed so many bytes, or all there are; memory grows with what arrives. */
    private fun rest(limiter: BodyLimiter, bytes: Long?) {
        val buffer = ByteArray(CHUNK_BYTES)
        var left = bytes ?: Long.MAX_VALUE
        while (left > 0) {
            val count = input.read(buffer, 0, minOf(left, buffer.size.toLong()).toInt())
            if (count < 0) {
                if (bytes == null) return
                throw EOFException("$left bytes of the body are missing")
            }
            limiter.feed(buffer, count)
            left -= count
        }
    }

    private fun line(): String {
        val found = StringBuilder()
        while (true) {
            val byte = input.read()
            if (byte < 0) throw EOFException("the head is not whole")
            if (++headBytes > MOST_HEAD_BYTES) throw AnswerError("the head is above $MOST_HEAD_BYTES bytes")
            if (byte == '\n'.code) return found.removeSuffix("\r").toString()
            found.append(byte.toChar())
        }
    }
}
