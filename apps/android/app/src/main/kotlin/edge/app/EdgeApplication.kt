package edge.app

import android.app.Application
import edge.core.app.Callers
import edge.core.app.EmbeddedModels
import edge.core.app.Settings
import edge.core.files.Installer
import java.io.File
import java.net.URI
import kotlin.concurrent.thread

/** What all screens share: the settings and the embedded models. */
class EdgeApplication : Application() {
    private lateinit var store: SettingsStore

    lateinit var models: EmbeddedModels
        private set

    /** The settings; what uses them is told when they change. */
    @Volatile
    var settings: Settings = Settings()
        private set

    /** The callers that are open; each is closed by the screen that made it. */
    val callers: Callers = Callers()

    override fun onCreate() {
        super.onCreate()
        store = SettingsStore(this)
        settings = store.read()
        callers.consent = settings.consent
        val base = getString(R.string.models_base)
        models = EmbeddedModels(
            PackagedAssets(assets),
            Installer(File(filesDir, "models")),
            if (base.isEmpty()) null else URI(base),
        )
    }

    /** Keep the settings. Consent that is taken back has cut every request off before this returns. */
    fun change(settings: Settings) {
        this.settings = settings
        // Closing a connection writes to it, which Android forbids on the main thread.
        thread(name = "consent") { callers.consent = settings.consent }.join()
        store.write(settings)
    }
}
