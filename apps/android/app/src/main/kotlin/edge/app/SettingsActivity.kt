package edge.app

import android.app.Activity
import android.os.Bundle
import android.text.Editable
import android.view.MenuItem
import android.widget.Button
import android.widget.CheckBox
import android.widget.EditText
import android.widget.RadioGroup
import android.widget.Spinner
import android.widget.Toast
import edge.core.app.Settings
import edge.core.app.SettingsError
import edge.core.app.SettingsField
import edge.core.policy.Consent
import edge.core.policy.Mode

private val MODES = listOf(
    Mode.ONLY_ON_DEVICE to R.id.only_on_device,
    Mode.PREFER_ON_DEVICE to R.id.prefer_on_device,
    Mode.PREFER_SERVER to R.id.prefer_server,
    Mode.ONLY_SERVER to R.id.only_server,
)

// In the order of the array `backends`.
private val BACKENDS = listOf(listOf("npu", "gpu", "cpu"), listOf("gpu", "cpu"), listOf("cpu"))

/** Where models run, whether anything may be sent, and where to. */
class SettingsActivity : Activity() {
    private lateinit var application: EdgeApplication
    private lateinit var mode: RadioGroup
    private lateinit var consent: CheckBox
    private lateinit var backends: Spinner
    private lateinit var server: EditText
    private lateinit var token: EditText

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.settings)
        actionBar?.setDisplayHomeAsUpEnabled(true)
        application = getApplication() as EdgeApplication
        mode = requireView(R.id.mode)
        consent = requireView(R.id.consent)
        backends = requireView(R.id.backends)
        server = requireView(R.id.server)
        token = requireView(R.id.token)
        show(application.settings)
        // Consent that is taken back must not wait for a button.
        consent.setOnCheckedChangeListener { _, given -> if (!given) takeBackConsent() }
        requireView<Button>(R.id.save).setOnClickListener { save() }
        requireView<Button>(R.id.forget_token).setOnClickListener { forgetToken() }
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        if (item.itemId != android.R.id.home) return super.onOptionsItemSelected(item)
        finish()
        return true
    }

    private fun show(settings: Settings) {
        mode.check(MODES.first { it.first == settings.mode }.second)
        consent.isChecked = settings.consent == Consent.GRANTED
        backends.setSelection(maxOf(BACKENDS.indexOf(settings.backends), 0))
        server.setText(settings.server)
        showToken(settings.token.isNotEmpty())
    }

    /** A token that is kept is never shown again. */
    private fun showToken(kept: Boolean) {
        token.setText("")
        token.setHint(if (kept) R.string.token_kept else R.string.token_hint)
    }

    private fun takeBackConsent() = application.change(application.settings.copy(consent = Consent.DENIED))

    private fun forgetToken() {
        application.change(application.settings.copy(token = ""))
        showToken(kept = false)
    }

    private fun save() {
        val before = application.settings
        val typed = token.text.trimmed()
        try {
            application.change(
                Settings(
                    mode = MODES.first { it.second == mode.checkedRadioButtonId }.first,
                    consent = if (consent.isChecked) Consent.GRANTED else Consent.DENIED,
                    backends = BACKENDS[backends.selectedItemPosition],
                    server = server.text.trimmed(),
                    token = typed.ifEmpty { before.token },
                ),
            )
        } catch (error: SettingsError) {
            val field = if (error.field == SettingsField.TOKEN) token else server
            field.error = error.message
            field.requestFocus()
            return
        }
        showToken(application.settings.token.isNotEmpty())
        Toast.makeText(this, R.string.saved, Toast.LENGTH_SHORT).show()
    }
}

private fun Editable.trimmed() = toString().trim()
