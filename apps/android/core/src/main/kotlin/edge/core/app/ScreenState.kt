package edge.core.app

import edge.core.image.StageTimes

/** What the user can do about a state; the screen shows one button for it. */
enum class Remedy { ASK_CAMERA, OPEN_SYSTEM_SETTINGS, OPEN_SETTINGS, DOWNLOAD_AGAIN, UPDATE_APP, TRY_AGAIN, NONE }

/**
 * What a screen shows instead of, or beside, its results.
 *
 * `remedy` is the one thing to do about it; `keepsResult` says whether the last result stays visible.
 */
sealed interface ScreenState {
    val remedy: Remedy
    val keepsResult: Boolean get() = false

    /** Models are opened and checked. */
    data object Starting : ScreenState {
        override val remedy: Remedy = Remedy.NONE
    }

    /** Results arrive; `ranOn` names the side and the backend. */
    data class Running(val model: String, val ranOn: String, val times: StageTimes?) : ScreenState {
        override val remedy: Remedy = Remedy.NONE
        override val keepsResult: Boolean = true
    }

    /** The camera is not allowed; the system asks no second time after `forGood`. */
    data class NoCamera(val forGood: Boolean) : ScreenState {
        override val remedy: Remedy = if (forGood) Remedy.OPEN_SYSTEM_SETTINGS else Remedy.ASK_CAMERA
    }

    /** The camera was taken away or broke. */
    data class CameraLost(val reason: String) : ScreenState {
        override val remedy: Remedy = Remedy.TRY_AGAIN
    }

    /** A file differs from its manifest: nothing of the artifact is opened. */
    data class Tampered(val file: String) : ScreenState {
        override val remedy: Remedy = Remedy.DOWNLOAD_AGAIN
    }

    /** The manifest is of a schema that this app is too old for. */
    data class NewerSchema(val schema: Long) : ScreenState {
        override val remedy: Remedy = Remedy.UPDATE_APP
    }

    /** A download ended early; what came is kept and the next try goes on from there. */
    data class Truncated(val file: String, val reason: String) : ScreenState {
        override val remedy: Remedy = Remedy.DOWNLOAD_AGAIN
    }

    /** A server's answer contradicts itself or the model's contract: it is not used. */
    data class ServerLied(val reason: String) : ScreenState {
        override val remedy: Remedy = Remedy.TRY_AGAIN
        override val keepsResult: Boolean = true
    }

    /** Consent is missing or was taken back: nothing is sent, and what was on its way was cut off. */
    data class NoConsent(val takenBack: Boolean) : ScreenState {
        override val remedy: Remedy = Remedy.OPEN_SETTINGS
        override val keepsResult: Boolean = true
    }

    /** The policy lets neither side run; `reason` is its code. */
    data class Unavailable(val reason: String) : ScreenState {
        override val remedy: Remedy = Remedy.OPEN_SETTINGS
        override val keepsResult: Boolean = true
    }

    /** No embedded artifact is for this task. */
    data class NoModel(val task: String) : ScreenState {
        override val remedy: Remedy = Remedy.NONE
    }

    /** Anything else; the message is the error's own. */
    data class Failed(val reason: String) : ScreenState {
        override val remedy: Remedy = Remedy.TRY_AGAIN
    }
}
