package edge.app

import edge.core.app.Caller
import edge.core.app.Pipeline
import edge.core.app.ReadyModel
import edge.core.app.Scene
import edge.core.app.ScreenState
import edge.core.app.endpoint
import edge.core.app.pipelineOf
import edge.core.app.stateOf
import edge.core.client.Policy
import edge.core.image.LatestFrame
import edge.core.image.Times
import edge.core.policy.Consent
import edge.core.policy.Side
import kotlin.concurrent.thread

private const val WAIT_MS = 200L
private const val TELL_EVERY_NS = 500_000_000L

/**
 * Take the latest frame, look at it, show it, and again; one thread, from `start` to `close`.
 *
 * `show` gets scenes, and `tell` what the screen says; both are called on the loop's thread.
 */
class FrameLoop(
    private val application: EdgeApplication,
    private val model: String,
    private val detector: String?,
    private val frames: LatestFrame<CameraFrame>,
    private val show: (Scene) -> Unit,
    private val tell: (ScreenState) -> Unit,
) : AutoCloseable {
    private val times = Times()
    private val readings = DeviceReadings(application)
    private val callers = ArrayList<Caller>()
    private var backend = ""

    @Volatile
    private var closed = false

    fun start() {
        thread(name = "frames") { use { work() } }
    }

    /** End after the frame that is being looked at. */
    fun stop() {
        closed = true
        frames.close()
    }

    override fun close() = callers.forEach(Caller::close)

    private fun work() {
        tell(ScreenState.Starting)
        val pipeline = try {
            pipelineOf(ready(model) ?: return, detector?.let { ready(it) ?: return })
        } catch (error: IllegalArgumentException) {
            return tell(stateOf(error))
        }
        var told = 0L
        while (!closed) {
            val frame = frames.take(WAIT_MS) ?: continue
            val state = look(pipeline, frame)
            frames.release()
            val now = System.nanoTime()
            if (state !is ScreenState.Running || now - told > TELL_EVERY_NS) {
                tell(state)
                told = now
            }
        }
    }

    private fun look(pipeline: Pipeline, frame: CameraFrame): ScreenState {
        val agreed = application.settings.consent == Consent.GRANTED
        return try {
            show(pipeline.look(frame.yuv, frame.turn, frame.timeNs, times))
            val side = callers.first().ranOn
            ScreenState.Running(model, if (side == Side.SERVER) Side.SERVER.code else backend, times.medians())
        } catch (error: Exception) { // of engines and of the server: the screen says which
            stateOf(error, agreed)
        }
    }

    /** Check a model's artifacts and make it ready; null, having told why, where that cannot be. */
    private fun ready(model: String): ReadyModel? {
        val (artifacts, states) = application.check(model)
        if (artifacts.isEmpty()) {
            tell(states.firstOrNull() ?: ScreenState.NoModel(model))
            return null
        }
        val settings = application.settings
        val local = application.onDevice(artifacts) { if (backend.isEmpty()) backend = it }
        val caller = application.callers.open(
            local = local,
            endpoint = settings.endpoint(model),
            policy = Policy(mode = settings.mode),
            device = readings::device,
            network = readings::network,
        )
        callers.add(caller)
        return ReadyModel(artifacts.first().manifest.contract, caller)
    }
}
