package edge.app

import android.content.Context
import android.content.SharedPreferences
import edge.core.app.Settings

/**
 * The user's settings in the app's private storage; the token and consent are in files that no backup takes.
 *
 * A token is as safe as the app's own files: other apps cannot read them, somebody with root can.
 */
class SettingsStore(context: Context) {
    private val plain = context.getSharedPreferences("settings", Context.MODE_PRIVATE)
    private val consent = context.getSharedPreferences("consent", Context.MODE_PRIVATE)
    private val secret = context.getSharedPreferences("secret", Context.MODE_PRIVATE)

    fun read(): Settings =
        Settings.fromMap(plain.strings() + consent.strings(), secret.getString("token", "").orEmpty())

    fun write(settings: Settings) {
        val all = settings.toMap()
        plain.replace(all - "consent")
        consent.replace(all.filterKeys { it == "consent" })
        secret.replace(if (settings.token.isEmpty()) emptyMap() else mapOf("token" to settings.token))
    }
}

private fun SharedPreferences.strings(): Map<String, String> =
    all.entries.mapNotNull { (name, value) -> (value as? String)?.let { name to it } }.toMap()

private fun SharedPreferences.replace(values: Map<String, String>) {
    val edit = edit().clear()
    for ((name, value) in values) edit.putString(name, value)
    edit.apply()
}
