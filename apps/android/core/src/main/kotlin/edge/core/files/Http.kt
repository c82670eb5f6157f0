package edge.core.files

import java.io.Closeable
import java.io.InputStream
import java.net.HttpURLConnection
import java.net.URI

/** Ask servers for files; redirects are not followed, for the downloader looks at where they lead. */
fun interface Http {
    /** Prepare a GET; nothing is sent before the exchange's status is asked for. */
    fun get(from: URI, headers: Map<String, String>): Exchange
}

/** One request and its answer; raises IOException. Another thread may close it while one waits. */
interface Exchange : Closeable {
    val status: Int

    /** Return a header of the answer. */
    fun header(name: String): String?

    /** The body of an answer whose status is below 400. */
    val body: InputStream
}

/** Http over java.net, with limits on how long a server may be silent. */
class UrlConnectionHttp(private val connectMs: Int = 10_000, private val silenceMs: Int = 20_000) : Http {
    override fun get(from: URI, headers: Map<String, String>): Exchange {
        val connection = from.toURL().openConnection() as HttpURLConnection
        connection.instanceFollowRedirects = false
        connection.useCaches = false
        connection.connectTimeout = connectMs
        connection.readTimeout = silenceMs
        headers.forEach(connection::setRequestProperty)
        return UrlConnectionExchange(connection)
    }
}

private class UrlConnectionExchange(private val connection: HttpURLConnection) : Exchange {
    override val status: Int get() = connection.responseCode

    override fun header(name: String): String? = connection.getHeaderField(name)

    override val body: InputStream get() = connection.inputStream

    override fun close() = connection.disconnect()
}

private val LOOPBACK = Regex("localhost|127(\\.[0-9]{1,3}){3}|\\[::1\\]")

/**
 * Say why nothing may be downloaded from an address, or null.
 *
 * Plain http is for this device only, and never where an https address led.
 */
internal fun objection(address: URI, before: URI? = null): String? {
    val host = address.host ?: return "'$address' names no host"
    return when {
        address.rawUserInfo != null -> "the address holds a user's name"
        address.scheme.equals("https", ignoreCase = true) -> null
        !address.scheme.equals("http", ignoreCase = true) -> "'${address.scheme}' is not https"
        !LOOPBACK.matches(host.lowercase()) -> "$host is asked for over plain http; use https"
        before != null && !before.scheme.equals("http", ignoreCase = true) -> "https was led to plain http"
        else -> null
    }
}
