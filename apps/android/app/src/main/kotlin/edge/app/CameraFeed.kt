package edge.app

import android.content.Context
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.util.Size
import android.view.Surface
import edge.core.image.LatestFrame
import edge.core.image.PlaneLayout
import edge.core.image.Turn
import edge.core.image.YuvFrame
import kotlin.math.abs

private const val WIDTH = 1280
private const val HEIGHT = 720
private const val IMAGES = 3 // one is copied, one waits, one is being written

/** A frame of the camera, how it stands, and when it was taken, in nanoseconds of the camera's clock. */
class CameraFrame {
    val yuv = YuvFrame()
    var turn = Turn.NONE
    var timeNs = 0L
}

/**
 * The back camera's frames: on a preview, and the latest one in `frames`. Made and closed on the main thread.
 *
 * `lost` is called on the camera's thread when the camera stops by itself.
 */
class CameraFeed(
    context: Context,
    private val frames: LatestFrame<CameraFrame>,
    private val lost: (String) -> Unit,
) : AutoCloseable {
    private val manager = context.getSystemService(CameraManager::class.java)
    private val thread = HandlerThread("camera").also { it.start() }
    private val handler = Handler(thread.looper)
    private val id = backCamera()
    private val characteristics = manager.getCameraCharacteristics(id)

    /** The size of the frames as the sensor delivers them, in pixels. */
    val size: Size = nearest(characteristics)
    private val reader = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, IMAGES)

    @Volatile
    private var device: CameraDevice? = null

    @Volatile
    private var closed = false

    /** How the display is turned against its natural orientation, in degrees; the activity keeps it up to date. */
    @Volatile
    var displayDegrees: Int = 0

    /** How frames have to be turned to stand upright on the display. */
    val turn: Turn
        get() {
            val sensor = characteristics.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0
            return Turn.values()[Math.floorMod(sensor - displayDegrees, 360) / 90]
        }

    /** Begin. Raises CameraAccessException, and SecurityException without the permission. */
    fun start(preview: SurfaceTexture) {
        reader.setOnImageAvailableListener({ take(it) }, handler)
        preview.setDefaultBufferSize(size.width, size.height)
        val surface = Surface(preview)
        val opened = object : CameraDevice.StateCallback() {
            override fun onOpened(camera: CameraDevice) {
                device = camera
                if (closed) camera.close() else capture(camera, surface)
            }

            override fun onDisconnected(camera: CameraDevice) {
                camera.close()
                fail("another app took it")
            }

            override fun onError(camera: CameraDevice, error: Int) {
                camera.close()
                fail("error $error")
            }
        }
        manager.openCamera(id, opened, handler)
    }

    override fun close() {
        closed = true
        device?.close()
        reader.close()
        thread.quitSafely()
    }

    private fun capture(camera: CameraDevice, preview: Surface) {
        val targets = listOf(preview, reader.surface)
        val ready = object : CameraCaptureSession.StateCallback() {
            override fun onConfigured(session: CameraCaptureSession) {
                if (closed) return
                attempt {
                    val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                    targets.forEach(request::addTarget)
                    request.set(
                        CaptureRequest.CONTROL_AF_MODE,
                        CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_VIDEO,
                    )
                    session.setRepeatingRequest(request.build(), null, handler)
                }
            }

            override fun onConfigureFailed(session: CameraCaptureSession) = fail("it refused $size")
        }
        // The form with SessionConfiguration is of API 28; the app begins at 26.
        attempt { @Suppress("DEPRECATION") camera.createCaptureSession(targets, ready, handler) }
    }

    private fun take(from: ImageReader) {
        val image = try {
            from.acquireLatestImage() ?: return
        } catch (_: IllegalStateException) {
            return // the reader was closed meanwhile
        }
        image.use(::copy)
    }

    private fun copy(image: Image) {
        val frame = frames.acquire()
        val (y, u, v) = image.planes
        try {
            frame.yuv.fill(
                image.width,
                image.height,
                y.buffer,
                u.buffer,
                v.buffer,
                PlaneLayout(y.rowStride, y.pixelStride),
                PlaneLayout(u.rowStride, u.pixelStride),
            )
        } catch (error: IllegalArgumentException) {
            frames.discard()
            return fail(error.message ?: "a frame does not fit")
        }
        frame.turn = turn
        frame.timeNs = image.timestamp
        frames.publish()
    }

    private inline fun attempt(work: () -> Unit) {
        try {
            work()
        } catch (error: CameraAccessException) {
            fail(error.message ?: "no access")
        } catch (error: IllegalStateException) {
            fail(error.message ?: "it was closed")
        }
    }

    private fun fail(reason: String) {
        if (!closed) lost(reason)
    }

    private fun backCamera(): String {
        val ids = manager.cameraIdList
        return ids.firstOrNull { manager.getCameraCharacteristics(it).facesBack() } ?: ids.firstOrNull()
            ?: throw CameraAccessException(CameraAccessException.CAMERA_ERROR, "there is no camera")
    }
}

private fun CameraCharacteristics.facesBack() =
    get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_BACK

/** Return the size nearest to 1280 × 720 that the camera offers. */
private fun nearest(characteristics: CameraCharacteristics): Size {
    val sizes = characteristics.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)
        ?.getOutputSizes(ImageFormat.YUV_420_888).orEmpty()
    return sizes.minByOrNull { abs(it.width - WIDTH) + abs(it.height - HEIGHT) } ?: Size(WIDTH, HEIGHT)
}
