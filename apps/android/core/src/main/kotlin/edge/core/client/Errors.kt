package edge.core.client

import edge.core.oip.AnswerError
import edge.core.oip.DeadlinePassed
import edge.core.policy.Decision
import edge.core.policy.Reason

/** Report a server that no connection could be made to, or whose connection had silently ended. */
class Unreachable(message: String) : Exception(message)

/** Report a connection that ended before the answer did. */
class Cut(message: String) : AnswerError(message)

/** Report a request that was not sent, as a gate had closed since the decision; `reason` names it. */
class Blocked(val reason: Reason, message: String) : Exception(message)

/** Report a device that still runs what earlier calls left behind. */
class DeviceBusy(message: String) : Exception(message)

/** Report an input, or a server's model, that does not fit the contract. */
class ContractError(message: String) : Exception(message)

/** Raised by an engine's factory: what the model needs does not exist on this device. */
class EngineUnsupported(message: String, cause: Throwable? = null) : Exception(message, cause)

/** Report a call that may run nowhere; `decision.reason` names the gate. Nothing was sent. */
class Unavailable(message: String, val decision: Decision) : Exception(message)

/** Report a call whose every side failed; `attempts` say how, the last error is the cause. */
class CallFailed(message: String, val decision: Decision, val attempts: List<Attempt>, cause: Throwable?) :
    Exception(message, cause)

/** Report a call that no side answered in time; `attempts` say what was tried. */
class DeadlineMissed(message: String, val decision: Decision, val attempts: List<Attempt>, cause: Throwable?) :
    DeadlinePassed(message) {
    init {
        if (cause != null) initCause(cause)
    }
}
