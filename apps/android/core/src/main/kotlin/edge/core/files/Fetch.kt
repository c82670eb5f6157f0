package edge.core.files

import edge.core.manifest.FileEntry
import java.io.IOException
import java.io.InputStream
import java.net.URI
import javax.net.ssl.SSLHandshakeException
import javax.net.ssl.SSLPeerUnverifiedException

private const val REDIRECTS = 5
private val REDIRECT = setOf(301, 302, 303, 307, 308)
private val BUSY = setOf(408, 425, 429)
private val CONTENT_RANGE = Regex("bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\\*)")

/** The attempts at one file: each asks for what is missing and appends what comes to the part; raises Trouble. */
internal class Fetch(
    private val http: Http,
    private val from: URI,
    private val entry: FileEntry,
    private val part: PartFile,
    private val cancel: Cancel,
    private val onState: (Download) -> Unit,
) {
    /** Whether the part is of more than one answer. */
    var resumed = false

    private val buffer = ByteArray(BUFFER_BYTES)

    /** Return once all bytes are in the part. */
    fun attempt() {
        if (part.bytes > entry.bytes) part.restart(null, null)
        if (part.bytes == entry.bytes) return
        val validator = part.validator(from)
        if (validator == null) part.restart(null, null)
        onState(Download.Connecting(part.bytes, entry.bytes))
        ask(from, null, if (part.bytes > 0) validator else null, REDIRECTS)
    }

    /** A validator makes the request one for what is missing of just this version. */
    private fun ask(address: URI, before: URI?, validator: String?, redirects: Int) {
        objection(address, before)?.let { throw Trouble(Failure.INSECURE, it, final = true) }
        val headers = mutableMapOf("Accept-Encoding" to "identity")
        if (validator != null) headers += mapOf("Range" to "bytes=${part.bytes}-", "If-Range" to validator)
        val next = cancel.closing(http.get(address, headers)) { take(it, address, validator) } ?: return
        if (redirects == 0) throw Trouble(Failure.REFUSED, "more than $REDIRECTS redirects", final = true)
        ask(next, address, validator, redirects - 1)
    }

    /** Return where the answer leads, or null when it was the file. */
    private fun take(answer: Exchange, address: URI, validator: String?): URI? {
        val status = onNetwork { answer.status }
        when {
            status in REDIRECT -> return redirect(answer, address)
            status == 200 -> {
                checkLength(answer, entry.bytes)
                resumed = false
                part.restart(from, validatorOf(answer))
            }
            status == 206 -> {
                checkRange(answer, validator)
                resumed = true
            }
            status == 416 && validator != null -> throw Trouble(Failure.WRONG_RANGE, refusal(status), drop = true)
            status < 100 -> throw Trouble(Failure.NETWORK, "${address.host} answers with something that is no HTTP")
            status >= 500 || status in BUSY -> throw Trouble(Failure.UNAVAILABLE, refusal(status))
            else -> throw Trouble(Failure.REFUSED, refusal(status), final = true)
        }
        val encoding = answer.header("Content-Encoding") ?: "identity"
        if (encoding != "identity") {
            throw Trouble(Failure.REFUSED, "${entry.name} comes with the encoding '$encoding'", final = true)
        }
        receive(onNetwork { answer.body })
        return null
    }

    private fun refusal(status: Int) = "the server answers ${entry.name} with status $status"

    private fun redirect(answer: Exchange, address: URI): URI {
        val location = answer.header("Location")
        return try {
            address.resolve(URI(location.orEmpty().ifEmpty { throw IllegalArgumentException("no Location") }))
        } catch (error: Exception) {
            throw Trouble(Failure.REFUSED, "a redirect leads nowhere: ${error.message}", final = true)
        }
    }

    private fun checkLength(answer: Exchange, expected: Long) {
        val stated = answer.header("Content-Length") ?: return
        if (stated.trim().toLongOrNull() != expected) {
            val message = "the server states $stated bytes of ${entry.name}; $expected were expected"
            throw Trouble(Failure.WRONG_SIZE, message, drop = true, final = true)
        }
    }

    /** The answer has to be the rest of the version that is here. */
    private fun checkRange(answer: Exchange, validator: String?) {
        val stated = answer.header("Content-Range").orEmpty()
        val asked = validator != null
        val (first, last, total) = CONTENT_RANGE.matchEntire(stated)?.destructured
            ?: throw Trouble(Failure.WRONG_RANGE, "Content-Range '$stated' says no range", drop = true, final = !asked)
        val fits = asked && first.toLong() == part.bytes && last.toLong() == entry.bytes - 1
        if (!fits || total != "*" && total.toLong() != entry.bytes) {
            val message = "Content-Range '$stated' is not what follows byte ${part.bytes} of ${entry.bytes}"
            throw Trouble(Failure.WRONG_RANGE, message, drop = true, final = !asked)
        }
        checkLength(answer, entry.bytes - part.bytes)
        val version = validatorOf(answer)
        if (version != null && version != validator) {
            throw Trouble(Failure.WRONG_RANGE, "the file changed to version $version", drop = true)
        }
    }

    /** Return what names this version of the file in an If-Range: a strong ETag, else a date. */
    private fun validatorOf(answer: Exchange): String? {
        val tag = answer.header("ETag")?.takeIf { it.startsWith('"') && it.endsWith('"') && it.length > 2 }
        return tag ?: answer.header("Last-Modified")
    }

    private fun receive(body: InputStream) {
        var told = part.bytes
        while (true) {
            val missing = entry.bytes - part.bytes
            // One byte more is asked for than is missing: a server that sends it has another file.
            val count = onNetwork { body.read(buffer, 0, minOf(buffer.size.toLong(), missing + 1).toInt()) }
            if (cancel.isCancelled) throw Trouble(Failure.NETWORK, "cancelled")
            if (count < 0) break
            if (count > missing) {
                val message = "the server sends more than the ${entry.bytes} bytes of ${entry.name}"
                throw Trouble(Failure.WRONG_SIZE, message, drop = true, final = true)
            }
            part.append(buffer, count)
            if (part.bytes - told >= entry.bytes / 100) {
                told = part.bytes
                onState(Download.Receiving(told, entry.bytes))
            }
        }
        if (part.bytes < entry.bytes) {
            throw Trouble(Failure.TRUNCATED, "${entry.name} ends after ${part.bytes} of ${entry.bytes} bytes")
        }
    }

    private fun <T> onNetwork(block: () -> T): T = try {
        block()
    } catch (error: SSLHandshakeException) {
        throw Trouble(Failure.UNTRUSTED, "${from.host}: ${error.message}", final = true)
    } catch (error: SSLPeerUnverifiedException) {
        throw Trouble(Failure.UNTRUSTED, "${from.host}: ${error.message}", final = true)
    } catch (error: IOException) {
        throw Trouble(Failure.NETWORK, "${from.host}: ${error.message}")
    }
}
