package edge.core.app

import edge.core.policy.Consent
import edge.core.policy.Mode
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import org.junit.Test

class SettingsTest {
    @Test
    fun theDefaultsSendNothing() {
        val settings = Settings()
        assertEquals(Mode.ONLY_ON_DEVICE, settings.mode)
        assertEquals(Consent.UNSET, settings.consent)
        assertEquals("", settings.server)
    }

    @Test
    fun whatIsKeptComesBack() {
        val server = "https://models.example.org"
        val settings = Settings(Mode.PREFER_SERVER, Consent.GRANTED, listOf("gpu", "cpu"), server, "abc")
        assertEquals(settings, Settings.fromMap(settings.toMap(), "abc"))
    }

    @Test
    fun theTokenIsInNoMapAndInNoText() {
        val settings = Settings(server = "https://models.example.org", token = "secret-token")
        assertFalse(settings.toMap().any { "secret-token" in it.key || "secret-token" in it.value })
        assertFalse("secret-token" in settings.toString())
    }

    @Test
    fun whatCannotBeUsedAnyMoreBecomesTheDefaultAndTheRestStays() {
        val kept =
            mapOf("mode" to "always", "consent" to "granted", "backends" to "tpu", "server" to "http://models.example.org")
        assertEquals(Settings(consent = Consent.GRANTED), Settings.fromMap(kept, "to ken"))
        assertEquals(Settings(), Settings.fromMap(emptyMap(), ""))
    }

    @Test
    fun addressesThatWouldLeakAreRefused() {
        val refused = listOf(
            "models.example.org", "ftp://models.example.org", "http://models.example.org",
            "http://127.0.0.1.example.org",
            "https://user:word@models.example.org", "https://models.example.org?token=a", "https://", "https://a b",
        )
        for (server in refused) {
            val error = assertFailsWith<SettingsError>(server) { Settings(server = server) }
            assertEquals(SettingsField.SERVER, error.field)
        }
        val local = listOf("http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:1")
        for (server in local + "https://models.example.org:8443") {
            Settings(server = server)
        }
    }

    @Test
    fun aTokenWithALineBreakAndStrangeBackendsAreRefused() {
        assertEquals(SettingsField.TOKEN, assertFailsWith<SettingsError> { Settings(token = "abc\n") }.field)
        for (backends in listOf(emptyList(), listOf("tpu"), listOf("cpu", "cpu"))) {
            assertEquals(SettingsField.BACKENDS, assertFailsWith<SettingsError> { Settings(backends = backends) }.field)
        }
    }
}
