package edge.core.app

import edge.core.policy.Consent
import edge.core.policy.Mode
import java.net.URI
import java.net.URISyntaxException

/** Report a setting that cannot be used; the message names the value and what mends it. */
class SettingsError(val field: SettingsField, message: String) : IllegalArgumentException(message)

enum class SettingsField { SERVER, TOKEN, BACKENDS }

/**
 * What the user chose; the defaults send nothing.
 *
 * `backends` are targets' backends in the order in which they are tried. `server` is empty where there is none.
 */
data class Settings(
    val mode: Mode = Mode.ONLY_ON_DEVICE,
    val consent: Consent = Consent.UNSET,
    val backends: List<String> = DEFAULT_BACKENDS,
    val server: String = "",
    val token: String = "",
) {
    init {
        checkServer(server)
        if (token.any { it !in '!'..'~' }) {
            throw SettingsError(SettingsField.TOKEN, "the token holds characters that no token has; paste it again")
        }
        val strange = backends.firstOrNull { it !in DEFAULT_BACKENDS }
        if (strange != null || backends.isEmpty() || backends.toSet().size != backends.size) {
            throw SettingsError(
                SettingsField.BACKENDS,
                "the backends are $backends; name each of $DEFAULT_BACKENDS at most once, and one at least",
            )
        }
    }

    /** Return what may be written to a log or to a backup: all but the token. */
    override fun toString(): String =
        "Settings(mode=$mode, consent=$consent, backends=$backends, server=$server, " +
            "token=${if (token.isEmpty()) "none" else "set"})"

    /** Return the settings by name, without the token: it is kept apart from them. */
    fun toMap(): Map<String, String> = mapOf(
        "mode" to mode.code,
        "consent" to consent.code,
        "backends" to backends.joinToString(","),
        "server" to server,
    )

    companion object {
        /** Fastest units first; what does not open here is passed over. */
        val DEFAULT_BACKENDS: List<String> = listOf("npu", "gpu", "cpu")

        /** Return the settings that `toMap` made; what is missing or cannot be used any more becomes the default. */
        fun fromMap(kept: Map<String, String>, token: String): Settings {
            val plain = Settings()
            return plain
                .changed { copy(mode = Mode.values().firstOrNull { it.code == kept["mode"] } ?: mode) }
                .changed { copy(consent = Consent.values().firstOrNull { it.code == kept["consent"] } ?: consent) }
                .changed { copy(backends = kept["backends"]?.split(",") ?: backends) }
                .changed { copy(server = kept["server"] ?: server) }
                .changed { copy(token = token) }
        }

        private fun Settings.changed(change: Settings.() -> Settings): Settings = try {
            change()
        } catch (_: SettingsError) {
            this
        }
    }
}

private fun checkServer(server: String) {
    if (server.isEmpty()) return
    val uri = try {
        URI(server)
    } catch (_: URISyntaxException) {
        throw SettingsError(SettingsField.SERVER, "'${server.take(80)}' is no address; give https://HOST[:PORT]")
    }
    val problem = when {
        uri.host.isNullOrEmpty() || uri.scheme !in setOf("http", "https") -> "is no address; give https://HOST[:PORT]"
        uri.rawUserInfo != null || uri.rawQuery != null || uri.rawFragment != null ->
            "holds more than an address; give https://HOST[:PORT] and the token apart from it"
        uri.scheme == "http" && !isLoopback(uri.host) -> "would send pictures unencrypted; give https://"
        else -> return
    }
    throw SettingsError(SettingsField.SERVER, "'${server.take(80)}' $problem")
}

/** Say whether a host is this device; only names and addresses that mean it everywhere. */
internal fun isLoopback(host: String): Boolean =
    host == "localhost" || host == "[::1]" || LOOPBACK.matches(host)

private val LOOPBACK = Regex("127\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}")
