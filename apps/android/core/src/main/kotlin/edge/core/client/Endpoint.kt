package edge.core.client

import java.net.InetAddress
import java.net.URI
import java.net.URISyntaxException

private val IPV4_LOOPBACK = Regex("127(\\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}")
private const val UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

/**
 * Name a model on a server.
 *
 * `token` goes as a bearer token. TLS is verified against the system's authorities, or those of `authorities` alone,
 * one or more certificates as PEM text. Plain HTTP is refused except to this machine; `plainHttp` allows it on networks
 * that encrypt by themselves. No proxy is used. Raises IllegalArgumentException.
 */
class Endpoint(
    val url: String,
    val model: String,
    val version: String = "",
    internal val token: String = "",
    internal val authorities: String? = null,
    val plainHttp: Boolean = false,
) {
    internal val host: String // without the brackets of IPv6
    internal val port: Int
    internal val secure: Boolean
    internal val path: String // of the model, percent-encoded
    internal val authority: String // for the header Host

    init {
        val parts = try {
            URI(url)
        } catch (_: URISyntaxException) {
            throw IllegalArgumentException("server '$url' is no address; give https://HOST[:PORT]")
        }
        val named = parts.host
        require((parts.scheme == "https" || parts.scheme == "http") && !named.isNullOrEmpty() && parts.port <= 65_535) {
            "server '$url' is no address; give https://HOST[:PORT]"
        }
        require(parts.rawUserInfo == null && parts.rawQuery == null && parts.rawFragment == null) {
            "server $named: give the token as `token`, and no user, query or fragment in the address"
        }
        host = named.removeSurrounding("[", "]")
        secure = parts.scheme == "https"
        require(secure || isLoopback(host) || plainHttp) {
            "server $url: pictures and tokens would travel unencrypted; give https://, or set plainHttp"
        }
        require(model.isNotEmpty()) { "server $url: give the model's name there" }
        require(token.all { it in '!'..'~' }) {
            "the token holds characters that no token has; is there a line break in its file?"
        }
        port = if (parts.port != -1) parts.port else if (secure) 443 else 80
        authority = if (parts.port != -1) "$named:${parts.port}" else named
        val versions = if (version.isEmpty()) "" else "/versions/${quoted(version)}"
        path = "${(parts.rawPath ?: "").trimEnd('/')}/v2/models/${quoted(model)}$versions"
    }

    /** Whether the server is this machine. */
    val local: Boolean get() = isLoopback(host)

    /** The model's address. */
    val address: String get() = "${if (secure) "https" else "http"}://$authority$path"

    override fun toString(): String = "Endpoint($address)" // without the token
}

/** Say whether a host is this machine, without looking a name up. */
private fun isLoopback(host: String): Boolean = when {
    host == "localhost" || IPV4_LOOPBACK.matches(host) -> true
    ':' in host -> try {
        InetAddress.getByName(host).isLoopbackAddress // a literal: nothing is asked
    } catch (_: java.net.UnknownHostException) {
        false
    }
    else -> false
}

private fun quoted(text: String): String = buildString {
    for (byte in text.toByteArray(Charsets.UTF_8)) {
        val char = byte.toInt().toChar()
        if (byte > 0 && char in UNRESERVED) append(char) else append("%%%02X".format(byte.toInt() and 0xff))
    }
}
