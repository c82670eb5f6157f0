package edge.app

import android.Manifest
import android.app.Activity
import android.app.AlertDialog
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Matrix
import android.graphics.RectF
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.os.Bundle
import android.view.Menu
import android.view.MenuItem
import android.view.Surface
import android.view.TextureView
import android.view.View
import edge.core.app.Remedy
import edge.core.app.ScreenState
import edge.core.app.fitted
import edge.core.image.LatestFrame

private const val ASK_CAMERA = 1
private const val KEY_MODEL = "model"
private val LIVE_TASKS = listOf("pose-landmarks", "segmentation", "panoptic")
private const val DETECTION = "pose-detection"

/** The camera's picture with what a model sees in it. */
class CameraActivity : Activity(), TextureView.SurfaceTextureListener {
    private lateinit var preview: TextureView
    private lateinit var overlay: OverlayView
    private lateinit var panel: StatePanel
    private var feed: CameraFeed? = null
    private var loop: FrameLoop? = null
    private var model: String? = null
    private var asked = false
    private var resumed = false

    private val edge: EdgeApplication get() = application as EdgeApplication

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.camera)
        preview = requireView(R.id.preview)
        overlay = requireView(R.id.overlay)
        panel = StatePanel(this, ::act)
        model = savedInstanceState?.getString(KEY_MODEL)
        preview.surfaceTextureListener = this
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putString(KEY_MODEL, model)
    }

    override fun onResume() {
        super.onResume()
        resumed = true
        begin()
    }

    override fun onPause() {
        resumed = false
        end()
        super.onPause()
    }

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<String>, grantResults: IntArray) {
        asked = true // onResume follows, and tells what is missing
    }

    override fun onCreateOptionsMenu(menu: Menu): Boolean {
        menuInflater.inflate(R.menu.main, menu)
        return true
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        when (item.itemId) {
            R.id.open_model -> chooseModel()
            R.id.open_tokenizer -> startActivity(Intent(this, TokenizerActivity::class.java))
            R.id.open_benchmark -> startActivity(Intent(this, BenchmarkActivity::class.java))
            R.id.open_settings -> startActivity(Intent(this, SettingsActivity::class.java))
            else -> return super.onOptionsItemSelected(item)
        }
        return true
    }

    override fun onSurfaceTextureAvailable(surface: SurfaceTexture, width: Int, height: Int) = begin()

    override fun onSurfaceTextureSizeChanged(surface: SurfaceTexture, width: Int, height: Int) = place()

    override fun onSurfaceTextureDestroyed(surface: SurfaceTexture): Boolean {
        end()
        return true
    }

    override fun onSurfaceTextureUpdated(surface: SurfaceTexture) = Unit

    private fun act(remedy: Remedy) {
        if (remedy == Remedy.ASK_CAMERA) {
            requestPermissions(arrayOf(Manifest.permission.CAMERA), ASK_CAMERA)
        } else {
            end()
            begin()
        }
    }

    /** Begin, if the screen is in front, its surface is there and the camera is allowed. */
    private fun begin() {
        val surface = preview.surfaceTexture
        if (!resumed || surface == null || feed != null) return
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            val forGood = asked && !shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)
            return panel.show(ScreenState.NoCamera(forGood))
        }
        val live = liveModels()
        val chosen = model?.takeIf { it in live } ?: live.firstOrNull()
            ?: return panel.show(ScreenState.NoModel(LIVE_TASKS.joinToString()))
        model = chosen
        val frames = LatestFrame(::CameraFrame)
        try {
            val opened = CameraFeed(this, frames) { reason -> tell(ScreenState.CameraLost(reason)) }
            feed = opened
            opened.displayDegrees = displayDegrees()
            opened.start(surface)
            place()
        } catch (error: CameraAccessException) {
            end()
            return panel.show(ScreenState.CameraLost(error.message.orEmpty()))
        } catch (_: SecurityException) { // it was taken away since it was asked for
            end()
            return panel.show(ScreenState.NoCamera(forGood = false))
        }
        val detector = edge.models.models(DETECTION).firstOrNull()
        loop = FrameLoop(edge, chosen, detector, frames, overlay::show, ::tell).also { it.start() }
    }

    private fun end() {
        loop?.stop()
        loop = null
        feed?.close()
        feed = null
        overlay.clear()
    }

    private fun tell(state: ScreenState) = runOnUiThread { if (resumed) panel.show(state) }

    private fun liveModels(): List<String> = LIVE_TASKS.flatMap(edge.models::models)

    private fun chooseModel() {
        val names = liveModels().toTypedArray()
        AlertDialog.Builder(this).setTitle(R.string.model).setItems(names) { _, which ->
            model = names[which]
            end()
            begin()
        }.show()
    }

    private fun displayDegrees(): Int = when (windowManager.defaultDisplay.rotation) {
        Surface.ROTATION_90 -> 90
        Surface.ROTATION_180 -> 180
        Surface.ROTATION_270 -> 270
        else -> 0
    }

    /** Show the whole picture in the middle, upright, where the overlay expects it. */
    private fun place() {
        val opened = feed ?: return
        opened.displayDegrees = displayDegrees()
        preview.setTransform(previewMatrix(preview, opened.size.width, opened.size.height, opened.displayDegrees))
    }
}

/**
 * Return how a TextureView has to be transformed to show a whole camera picture of `width` × `height`.
 *
 * The view stretches the picture over itself, upright for the display's natural orientation.
 */
private fun previewMatrix(view: View, width: Int, height: Int, displayDegrees: Int): Matrix {
    val matrix = Matrix()
    if (view.width == 0 || view.height == 0) return matrix
    val turned = displayDegrees == 90 || displayDegrees == 270
    val (shownWidth, shownHeight) = if (turned) width to height else height to width
    val place = fitted(shownWidth, shownHeight, view.width, view.height)
    val whole = RectF(0f, 0f, view.width.toFloat(), view.height.toFloat())
    val to = RectF(
        place.left,
        place.top,
        place.left + shownWidth * place.scale,
        place.top + shownHeight * place.scale,
    )
    if (turned) {
        // Before the view is turned back, the picture's sides lie across.
        val across = RectF(0f, 0f, to.height(), to.width())
        across.offset(to.centerX() - across.centerX(), to.centerY() - across.centerY())
        matrix.setRectToRect(whole, across, Matrix.ScaleToFit.FILL)
        matrix.postRotate(-displayDegrees.toFloat(), to.centerX(), to.centerY())
    } else {
        matrix.setRectToRect(whole, to, Matrix.ScaleToFit.FILL)
        if (displayDegrees == 180) matrix.postRotate(180f, to.centerX(), to.centerY())
    }
    return matrix
}
