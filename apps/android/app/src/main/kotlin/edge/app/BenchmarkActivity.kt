package edge.app

import android.app.Activity
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.view.MenuItem
import android.view.WindowManager
import android.widget.Button
import android.widget.TextView
import edge.app.engines.EngineError
import edge.app.engines.THREADS
import edge.app.engines.open
import edge.core.app.Found
import edge.core.app.Measured
import edge.core.app.Protocol
import edge.core.app.ScreenState
import edge.core.app.measure
import edge.core.app.profileJson
import edge.core.app.quantile
import edge.core.app.randomInputs
import edge.core.app.waysOf
import edge.core.backend.Candidate
import edge.core.json.Json
import edge.core.json.write
import java.io.IOException
import java.time.Instant
import java.time.temporal.ChronoUnit
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicBoolean

private const val SAVE_PROFILE = 1
private const val NS_PER_MS = 1e6
private const val NS_PER_S = 1e9

/** Measure every embedded artifact, and save profile.json. */
class BenchmarkActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()
    private val cancelled = AtomicBoolean()
    private lateinit var panel: StatePanel
    private lateinit var button: Button
    private lateinit var save: Button
    private lateinit var results: TextView
    private var running = false
    private var profile: Json? = null

    private val edge: EdgeApplication get() = application as EdgeApplication

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.benchmark)
        actionBar?.setDisplayHomeAsUpEnabled(true)
        panel = StatePanel(this) { toggle() }
        panel.show(null)
        button = requireView(R.id.measure)
        save = requireView(R.id.save_profile)
        results = requireView(R.id.results)
        button.setOnClickListener { toggle() }
        save.setOnClickListener { choosePlace() }
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        if (item.itemId != android.R.id.home) return super.onOptionsItemSelected(item)
        finish()
        return true
    }

    override fun onDestroy() {
        cancelled.set(true)
        worker.shutdown()
        super.onDestroy()
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val place = data?.data
        if (requestCode == SAVE_PROFILE && resultCode == RESULT_OK && place != null) write(place)
    }

    private fun toggle() {
        if (running) return cancelled.set(true)
        val names = edge.models.names()
        if (names.isEmpty()) return panel.show(ScreenState.NoModel(getString(R.string.benchmark_title)))
        running = true
        cancelled.set(false)
        results.text = ""
        panel.show(null)
        button.setText(R.string.cancel)
        save.isEnabled = false
        // A screen that goes dark slows the processor down.
        window?.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        worker.execute {
            val made = measureAll(names)
            runOnUiThread { finished(made) }
        }
    }

    private fun finished(made: Json) {
        running = false
        profile = made
        window?.clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        button.setText(R.string.measure)
        save.isEnabled = true
    }

    private fun measureAll(names: List<String>): Json {
        val readings = DeviceReadings(this)
        val protocol = Protocol(threads = THREADS)
        val began = System.nanoTime()
        val measured = ArrayList<Measured>()
        names.forEachIndexed { index, name ->
            if (cancelled.get()) return@forEachIndexed
            say(getString(R.string.measuring, name, index + 1, names.size))
            when (val found = edge.models.open(name)) {
                is Found.Not -> runOnUiThread { panel.show(found.state) }
                is Found.Ready -> {
                    val artifact = Candidate(found.folder, found.manifest)
                    measured += measureOne(artifact, protocol, readings, (System.nanoTime() - began) / NS_PER_S)
                }
            }
        }
        measured.forEach { say(described(it)) }
        return profileJson(
            date = Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(),
            kit = getString(R.string.kit_version),
            device = readings.record(),
            protocol = protocol,
            measured = measured,
        )
    }

    /** Measure an artifact on the first unit that takes it. */
    private fun measureOne(artifact: Candidate, protocol: Protocol, readings: DeviceReadings, atS: Double): Measured {
        val manifest = artifact.manifest
        val inputs = randomInputs(manifest.inputs, protocol.seed.toLong())
        var problem = "the app has no engine for ${manifest.target}"
        for (way in waysOf(manifest.target, edge.settings.backends)) {
            val state = readings.state(atS)
            try {
                val opening = { open(artifact, way, protocol.threads) }
                val launch = measure(opening, inputs, protocol, cancelled = cancelled::get)
                return Measured(manifest, way.runtime.family, way.unit, launch, state)
            } catch (error: EngineError) {
                problem = error.message.orEmpty()
            } catch (error: UnsatisfiedLinkError) {
                problem = error.message.orEmpty()
            }
        }
        return Measured(manifest, "", "", null, null, problem)
    }

    private fun described(item: Measured): String {
        val name = "${item.manifest.model} ${item.manifest.target}@${item.manifest.precision}"
        val ms = item.launch?.runsNs?.map { it / NS_PER_MS }.orEmpty()
        val problem = item.problem.ifEmpty { item.launch?.problem.orEmpty() }
        if (ms.isEmpty()) return getString(R.string.not_measured, name, problem)
        return getString(R.string.measured, name, quantile(ms, 0.5), quantile(ms, 0.9), ms.size)
    }

    private fun say(line: String) = runOnUiThread { results.append("$line\n") }

    @Suppress("DEPRECATION") // the way of Jetpack's activities needs Jetpack
    private fun choosePlace() {
        val intent = Intent(Intent.ACTION_CREATE_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType("application/json")
            .putExtra(Intent.EXTRA_TITLE, "profile.json")
        startActivityForResult(intent, SAVE_PROFILE)
    }

    private fun write(place: Uri) {
        val text = profile?.write() ?: return
        try {
            val stream = contentResolver.openOutputStream(place, "wt") ?: throw IOException("$place cannot be written")
            stream.use { it.write(text.toByteArray()) }
            say(getString(R.string.profile_saved))
        } catch (error: IOException) {
            say(getString(R.string.profile_not_saved, error.message))
        }
    }
}
