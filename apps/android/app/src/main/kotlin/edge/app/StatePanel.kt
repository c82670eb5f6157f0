package edge.app

import android.app.Activity
import android.content.Context
import android.content.Intent
import android.net.Uri
import android.provider.Settings as SystemSettings
import android.view.View
import android.widget.Button
import android.widget.TextView
import edge.core.app.Remedy
import edge.core.app.ScreenState
import edge.core.image.StageTimes

private const val NS_PER_MS = 1e6

/** Show a screen's state, and the button of what can be done about it; main thread. */
class StatePanel(private val activity: Activity, private val onRemedy: (Remedy) -> Unit) {
    private val panel = activity.requireView<View>(R.id.state)
    private val text = activity.requireView<TextView>(R.id.state_text)
    private val times = activity.requireView<TextView>(R.id.state_times)
    private val button = activity.requireView<Button>(R.id.state_remedy)

    /** Show a state; null hides the panel. */
    fun show(state: ScreenState?) {
        panel.visibility = if (state == null) View.GONE else View.VISIBLE
        if (state == null) return
        text.text = activity.textOf(state)
        val stages = (state as? ScreenState.Running)?.times
        times.visibility = if (stages == null) View.GONE else View.VISIBLE
        if (stages != null) times.text = activity.textOf(stages)
        val label = labelOf(state.remedy)
        button.visibility = if (label == 0) View.GONE else View.VISIBLE
        if (label == 0) return
        button.setText(label)
        button.setOnClickListener { act(state.remedy) }
    }

    private fun act(remedy: Remedy) {
        when (remedy) {
            Remedy.OPEN_SETTINGS -> activity.startActivity(Intent(activity, SettingsActivity::class.java))
            Remedy.OPEN_SYSTEM_SETTINGS -> activity.startActivity(
                Intent(
                    SystemSettings.ACTION_APPLICATION_DETAILS_SETTINGS,
                    Uri.fromParts("package", activity.packageName, null),
                ),
            )
            else -> onRemedy(remedy)
        }
    }
}

private fun labelOf(remedy: Remedy): Int = when (remedy) {
    Remedy.ASK_CAMERA -> R.string.remedy_ask_camera
    Remedy.OPEN_SYSTEM_SETTINGS -> R.string.remedy_system_settings
    Remedy.OPEN_SETTINGS -> R.string.remedy_settings
    Remedy.DOWNLOAD_AGAIN -> R.string.remedy_download
    Remedy.UPDATE_APP -> R.string.remedy_update
    Remedy.TRY_AGAIN -> R.string.remedy_try_again
    Remedy.NONE -> 0
}

private fun Context.textOf(times: StageTimes): String =
    getString(R.string.times, times.preNs / NS_PER_MS, times.inferenceNs / NS_PER_MS, times.postNs / NS_PER_MS)

private fun Context.textOf(state: ScreenState): String = when (state) {
    is ScreenState.Starting -> getString(R.string.state_starting)
    is ScreenState.Running -> getString(R.string.running, state.model, state.ranOn)
    is ScreenState.NoCamera ->
        getString(if (state.forGood) R.string.state_no_camera_for_good else R.string.state_no_camera)
    is ScreenState.CameraLost -> getString(R.string.state_camera_lost, state.reason)
    is ScreenState.Tampered -> getString(R.string.state_tampered, state.file)
    is ScreenState.NewerSchema -> getString(R.string.state_newer_schema, state.schema)
    is ScreenState.Truncated -> getString(R.string.state_truncated, state.file, state.reason)
    is ScreenState.ServerLied -> getString(R.string.state_server_lied, state.reason)
    is ScreenState.NoConsent ->
        getString(if (state.takenBack) R.string.state_consent_taken_back else R.string.state_no_consent)
    is ScreenState.Unavailable -> getString(R.string.state_unavailable, state.reason)
    is ScreenState.NoModel -> getString(R.string.state_no_model, state.task)
    is ScreenState.Failed -> getString(R.string.state_failed, state.reason)
}

/** Return a view of the activity's layout; raises IllegalStateException where there is none of that kind. */
inline fun <reified T : View> Activity.requireView(id: Int): T {
    val found: View? = findViewById(id)
    return found as? T ?: error("the layout has $found for id $id; a ${T::class.java.simpleName} was expected")
}
