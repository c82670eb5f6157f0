package edge.core.client

import edge.core.json.Json
import edge.core.json.jsonOf
import edge.core.policy.Decision
import edge.core.policy.Reason
import edge.core.policy.Side

/** How an attempt ended; an abandoned one is a device run that could not be interrupted and still computes. */
enum class Outcome(val code: String) {
    ANSWERED("answered"),
    FAILED("failed"),
    TIMED_OUT("timed_out"),
    CANCELLED("cancelled"),
    ABANDONED("abandoned"),
    NOT_SENT("not_sent");

    override fun toString(): String = code
}

/**
 * Where an attempt's time went, in milliseconds; null for what did not happen or is not known.
 *
 * `queueMs` and `inferenceMs` of the server are what it reports of itself; they lie within `waitMs`.
 */
data class Spans(
    val prepareMs: Double? = null, // preprocessing, or encoding what is sent
    val metadataMs: Double? = null, // asking the server about the model, once
    val connectMs: Double? = null, // with TLS
    val sendMs: Double? = null,
    val waitMs: Double? = null,
    val receiveMs: Double? = null,
    val queueMs: Double? = null,
    val inferenceMs: Double? = null,
    val decodeMs: Double? = null,
)

/** One try of one side; times in milliseconds since the call began. `sent` says whether any byte of it left. */
data class Attempt(
    val side: Side,
    val outcome: Outcome,
    val beganMs: Double,
    val endedMs: Double,
    val spans: Spans = Spans(),
    val error: String = "",
    val sent: Boolean = false,
    val payloadBytes: Long = 0,
)

/** What one side returned; outputs are named and laid out by the side's contract. */
internal class SideAnswer<R>(
    val side: Side,
    val outputs: Map<String, FloatArray>,
    val result: R,
    val model: String,
    val modelVersion: String,
    val modelSha256: String,
)

/**
 * A call's answer.
 *
 * `result` is decoded in the picture's coordinates; `outputs` are the model's. `decision` is the policy's; `ranOn`
 * differs from its `runOn` after a fallback or a hedge. `modelSha256` is that of the weights, empty where the server
 * does not tell.
 */
class Answer<R>(
    val result: R,
    val outputs: Map<String, FloatArray>,
    val ranOn: Side,
    val reason: Reason,
    val decision: Decision,
    val attempts: List<Attempt>,
    val model: String,
    val modelVersion: String,
    val modelSha256: String,
    val totalMs: Double,
) {
    /** Whether another side answered than the one that the call began with. */
    val fellBack: Boolean get() = ranOn != decision.runOn

    /** Return everything but the result and the tensors as JSON. */
    fun toJson(): Json = jsonOf(
        linkedMapOf(
            "ran_on" to ranOn.code,
            "reason" to reason.code,
            "model" to model,
            "model_version" to modelVersion,
            "model_sha256" to modelSha256,
            "total_ms" to totalMs,
            "decision" to described(decision),
            "attempts" to attempts.map(::described),
        ),
    )
}

private fun described(decision: Decision): Map<String, Any?> = linkedMapOf(
    "run_on" to (decision.runOn?.code ?: "unavailable"),
    "reason" to decision.reason.code,
    "fallback" to decision.fallback?.code,
    "upload_allowed" to decision.uploadAllowed,
    "deadline_miss_expected" to decision.deadlineMissExpected,
    "hedge_after_ms" to decision.hedgeAfterMs,
    "timeout_ms" to decision.timeoutMs,
    "device_ms" to decision.deviceMs,
    "server_ms" to decision.serverMs,
    "device_blocked" to decision.deviceBlocked?.code,
    "server_blocked" to decision.serverBlocked?.code,
)

private fun described(attempt: Attempt): Map<String, Any?> = linkedMapOf(
    "side" to attempt.side.code,
    "outcome" to attempt.outcome.code,
    "began_ms" to attempt.beganMs,
    "ended_ms" to attempt.endedMs,
    "spans" to described(attempt.spans),
    "error" to attempt.error,
    "sent" to attempt.sent,
    "payload_bytes" to attempt.payloadBytes,
)

private fun described(spans: Spans): Map<String, Any?> = linkedMapOf(
    "prepare_ms" to spans.prepareMs,
    "metadata_ms" to spans.metadataMs,
    "connect_ms" to spans.connectMs,
    "send_ms" to spans.sendMs,
    "wait_ms" to spans.waitMs,
    "receive_ms" to spans.receiveMs,
    "queue_ms" to spans.queueMs,
    "inference_ms" to spans.inferenceMs,
    "decode_ms" to spans.decodeMs,
)
