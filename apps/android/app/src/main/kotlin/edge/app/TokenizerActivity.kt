package edge.app

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.view.MenuItem
import android.widget.Button
import android.widget.ImageView
import android.widget.TextView
import edge.core.app.Caller
import edge.core.app.Codes
import edge.core.app.ScreenState
import edge.core.app.TokenizerDemo
import edge.core.app.endpoint
import edge.core.app.stateOf
import edge.core.client.Policy
import edge.core.policy.Consent
import edge.core.policy.Mode
import java.util.concurrent.Executors

private const val CHOOSE_PHOTO = 1
private const val SHOWN_CODES = 64

/** A photo becomes codes on the device, and the codes a picture on the server. */
class TokenizerActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()
    private val callers = ArrayList<Caller>() // of the worker
    private var demo: TokenizerDemo? = null // of the worker
    private lateinit var panel: StatePanel
    private lateinit var original: ImageView
    private lateinit var codes: TextView
    private lateinit var reconstruction: ImageView
    private var photo: Uri? = null

    private val edge: EdgeApplication get() = application as EdgeApplication

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.tokenizer)
        actionBar?.setDisplayHomeAsUpEnabled(true)
        original = requireView(R.id.original)
        codes = requireView(R.id.codes)
        reconstruction = requireView(R.id.reconstruction)
        panel = StatePanel(this) { photo?.let(::show) }
        panel.show(null)
        requireView<Button>(R.id.choose_photo).setOnClickListener { choosePhoto() }
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        if (item.itemId != android.R.id.home) return super.onOptionsItemSelected(item)
        finish()
        return true
    }

    override fun onDestroy() {
        worker.execute { callers.forEach(Caller::close) }
        worker.shutdown()
        super.onDestroy()
    }

    @Suppress("DEPRECATION") // the way of Jetpack's activities needs Jetpack
    private fun choosePhoto() {
        val intent = Intent(Intent.ACTION_GET_CONTENT).setType("image/*").addCategory(Intent.CATEGORY_OPENABLE)
        startActivityForResult(intent, CHOOSE_PHOTO)
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val chosen = data?.data
        if (requestCode == CHOOSE_PHOTO && resultCode == RESULT_OK && chosen != null) show(chosen)
    }

    private fun show(chosen: Uri) {
        photo = chosen
        reconstruction.setImageDrawable(null)
        codes.text = ""
        panel.show(ScreenState.Starting)
        val agreed = edge.settings.consent == Consent.GRANTED
        worker.execute {
            try {
                work(chosen)
            } catch (error: Exception) { // of engines, of the server and of the photo: the screen says which
                tell(stateOf(error, agreed))
            }
        }
    }

    private fun work(chosen: Uri) {
        val demo = this.demo ?: made() ?: return
        this.demo = demo
        val picture = contentResolver.readPhoto(chosen).toPicture()
        val found = demo.encode(picture)
        val seen = bitmap(demo.seen, demo.side)
        runOnUiThread {
            original.setImageBitmap(seen)
            codes.text = described(found)
        }
        val decoded = demo.decode(found)
        val made = bitmap(decoded, demo.decodedWidth)
        runOnUiThread {
            reconstruction.setImageBitmap(made)
            panel.show(null)
        }
    }

    /** Make the demo of the embedded encoder and decoder; null, having told why, where one is missing. */
    private fun made(): TokenizerDemo? {
        val encoder = edge.models.models(TokenizerDemo.ENCODER).firstOrNull() ?: return missing(TokenizerDemo.ENCODER)
        val decoder = edge.models.names().firstNotNullOfOrNull { name ->
            edge.models.manifest(name)?.takeIf { it.task == TokenizerDemo.DECODER }
        } ?: return missing(TokenizerDemo.DECODER)
        val (artifacts, states) = edge.check(encoder)
        if (artifacts.isEmpty()) {
            tell(states.firstOrNull() ?: ScreenState.NoModel(TokenizerDemo.ENCODER))
            return null
        }
        val readings = DeviceReadings(this)
        val local = edge.onDevice(artifacts) {}
        val onDevice = edge.callers.open(local, null, Policy(), device = readings::device, network = readings::network)
        callers.add(onDevice)
        val endpoint = edge.settings.endpoint(decoder.model)
        if (endpoint == null) {
            tell(ScreenState.Unavailable("no_server"))
            return null
        }
        val policy = Policy(mode = Mode.ONLY_SERVER)
        val onServer = edge.callers.open(null, endpoint, policy, decoder.contract, readings::device, readings::network)
        callers.add(onServer)
        return TokenizerDemo(artifacts.first().manifest.contract, onDevice, decoder.contract, onServer)
    }

    private fun missing(task: String): TokenizerDemo? {
        tell(ScreenState.NoModel(task))
        return null
    }

    private fun tell(state: ScreenState) = runOnUiThread { panel.show(state) }

    private fun described(found: Codes): String {
        val bytes = getString(R.string.codes, found.ids.size, found.packedBytes, found.pictureBytes)
        val shown = found.ids.take(SHOWN_CODES).joinToString(" ")
        return if (found.ids.size > SHOWN_CODES) "$bytes\n$shown …" else "$bytes\n$shown"
    }

    private fun bitmap(argb: IntArray, width: Int): Bitmap =
        Bitmap.createBitmap(argb, width, argb.size / width, Bitmap.Config.ARGB_8888)
}
