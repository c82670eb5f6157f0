package edge.core.app

import edge.core.client.Blocked
import edge.core.client.CallFailed
import edge.core.client.Unavailable
import edge.core.files.Failure
import edge.core.files.Installation
import edge.core.manifest.NewerSchema
import edge.core.oip.AnswerError
import edge.core.policy.Reason

/** Return what the screen says of an error; `consentWasGiven` when the call began tells missing from withdrawn consent. */
fun stateOf(error: Throwable, consentWasGiven: Boolean = false): ScreenState = when (error) {
    is NewerSchema -> ScreenState.NewerSchema(error.schema)
    is AnswerError -> ScreenState.ServerLied(error.text)
    is Blocked -> closed(error.reason, consentWasGiven)
    is Unavailable -> closed(error.decision.reason, consentWasGiven)
    is CallFailed -> error.cause?.let { stateOf(it, consentWasGiven) } ?: ScreenState.Failed(error.text)
    else -> ScreenState.Failed(error.text)
}

/** Return what the screen says of an installation that failed; null for one that did not, or that the user stopped. */
fun stateOf(end: Installation.End): ScreenState? = when (end) {
    is Installation.Installed, is Installation.Cancelled -> null
    is Installation.Refused -> stateOf(end.error)
    is Installation.Failed -> when (end.failure) {
        Failure.TRUNCATED, Failure.NETWORK, Failure.UNAVAILABLE -> ScreenState.Truncated(end.file, end.message)
        Failure.WRONG_SIZE, Failure.WRONG_RANGE -> ScreenState.ServerLied(end.message)
        Failure.WRONG_DIGEST -> ScreenState.Tampered(end.file)
        else -> ScreenState.Failed("${end.file}: ${end.message}")
    }
}

private fun closed(reason: Reason, consentWasGiven: Boolean): ScreenState =
    if (reason == Reason.CONSENT_DENIED || reason == Reason.CONSENT_UNSET) {
        ScreenState.NoConsent(takenBack = consentWasGiven)
    } else {
        ScreenState.Unavailable(reason.code)
    }

private val Throwable.text: String get() = message ?: javaClass.simpleName
