package edge.core.client

import edge.core.manifest.Contract
import edge.core.policy.Call
import edge.core.policy.Consent
import edge.core.policy.DataClass
import edge.core.policy.Decision
import edge.core.policy.Device
import edge.core.policy.Mode
import edge.core.policy.Model
import edge.core.policy.Network
import edge.core.policy.Reason
import edge.core.policy.Server
import edge.core.policy.Side
import edge.core.policy.State
import edge.core.policy.decide
import java.io.Closeable
import java.util.EnumMap
import java.util.concurrent.SynchronousQueue
import java.util.concurrent.ThreadPoolExecutor
import java.util.concurrent.TimeUnit

private const val IDLE_S = 10L // of a thread that asks the server

/**
 * A model on the device, a model on a server, and the policy between them; docs/client.md specifies what happens.
 *
 * `local` null has no device's side; `endpoint` null no server's. `contract` is that of the server's model, where it is
 * another than the device's. `device` and `network` say how things are now and are asked at most once a second; one
 * that raises knows nothing. `clock` is in milliseconds and never goes back.
 *
 * Consent is unset, which is denied, until the app sets `consent` to what its user said. Thread-safe.
 */
class FallbackRunner(
    local: OnDevice?,
    endpoint: Endpoint? = null,
    val policy: Policy = Policy(),
    contract: Contract? = null,
    device: () -> Device = { Device() },
    network: () -> Network = { networkTo(endpoint) },
    private val clock: Clock = ::nowMs,
    private val random: () -> Double = Math::random,
) : Closeable {
    private val local = local?.let(::Local)
    private val remote = endpoint?.let {
        val served = requireNotNull(contract ?: local?.contract) {
            "${it.model}: without a model on the device, give the contract of the server's"
        }
        Remote(it, served, policy, clock)
    }
    private val profiled = local?.profiled ?: Profiled()
    private val estimates = DeviceEstimates(profiled.p90Ms)
    private val device = Kept(device, Device(), clock)
    private val network = Kept(network, Network(), clock)
    private val states = EnumMap<Mode, State>(Mode::class.java) // guarded by itself
    private val executions = HashSet<Execution<*>>() // guarded by itself
    private val threads = ThreadPoolExecutor(0, Int.MAX_VALUE, IDLE_S, TimeUnit.SECONDS, SynchronousQueue()) { work ->
        Thread(work, "edge-client-server").apply { isDaemon = true }
    }

    @Volatile private var closed = false

    /**
     * What the user said to uploads. Taken back, requests on their way are cancelled and connections closed before the
     * assignment returns.
     */
    @Volatile var consent: Consent = Consent.UNSET
        set(value) {
            field = value
            if (value != Consent.GRANTED) withdraw()
        }

    /** How many device runs compute for calls that no longer need them. */
    val abandoned: Int get() = local?.abandoned ?: 0

    /**
     * Run the model once; what is not given is the policy's. It blocks: call it from a thread that may wait.
     *
     * `punctual` fails at once where the policy expects to miss the deadline. Raises Unavailable, CallFailed,
     * DeadlineMissed; ContractError for an input that does not fit; InterruptedException, having cancelled everything.
     */
    fun <R> call(
        input: Input<R>,
        deadlineMs: Double? = null,
        dataClass: DataClass? = null,
        mode: Mode? = null,
        punctual: Boolean = false,
    ): Answer<R> {
        check(!closed) { "this runner is closed; make another" }
        val began = nowMs()
        val asked = Call(
            mode = mode ?: policy.mode,
            consent = consent,
            dataClass = dataClass ?: policy.dataClass,
            meteredCapBytes = policy.meteredCapBytes,
            deadlineMs = deadlineMs ?: policy.deadlineMs,
            device = device.read(),
            network = network.read(),
        )
        if (input.picture == null) local?.let { input.inputs(it.side.contract) }
        val (call, decision) = decided(asked, input, began)
        if (decision.runOn == null || (punctual && decision.deadlineMissExpected)) throw unavailable(decision)
        val execution = Execution<R>(decision, call.deadlineMs, began)
        synchronized(executions) { executions.add(execution) }
        try {
            return answer(execution.run { side -> task(side, input, call, execution) }, execution)
        } finally {
            synchronized(executions) { executions.remove(execution) }
        }
    }

    /** Cancel the requests on their way, close every connection and end every thread. */
    override fun close() {
        if (closed) return
        closed = true
        withdraw()
        remote?.close()
        local?.close()
        threads.shutdown()
    }

    private fun withdraw() {
        for (execution in synchronized(executions) { executions.toList() }) execution.cancelServer()
        remote?.disconnect()
    }

    private fun <R> task(side: Side, input: Input<R>, call: Call, execution: Execution<R>): SideTask =
        if (side == Side.DEVICE) {
            DeviceTask(checkNotNull(local), estimates, input, call, execution, clock)
        } else {
            ServerTask(checkNotNull(remote), input, call, execution, threads, random, ::closedGate)
        }

    private fun closedGate(): Reason? = when {
        consent == Consent.DENIED -> Reason.CONSENT_DENIED
        consent == Consent.UNSET || closed -> Reason.CONSENT_UNSET
        else -> null
    }

    /** Ask the policy; a picture is encoded before that only where its estimated size would close the server. */
    private fun decided(asked: Call, input: Input<*>, began: Double): Pair<Call, Decision> {
        if (remote == null) return settled(known(asked, 0), began)
        var call = known(asked, remote.payloadBytes(input, exact = false))
        val first = decide(call, state(call.mode), clock().toLong()).decision
        if (first.serverBlocked == Reason.OVER_METERED_CAP) {
            call = known(asked, remote.payloadBytes(input, exact = true))
        }
        return settled(call, began)
    }

    /** Decide with the time that is left and the consent of this moment. */
    private fun settled(given: Call, began: Double): Pair<Call, Decision> = synchronized(states) {
        val left = given.deadlineMs?.let { maxOf(it - (nowMs() - began), 0.0) }
        val call = given.copy(deadlineMs = left, consent = consent)
        val (decision, state) = decide(call, state(call.mode), clock().toLong())
        states[call.mode] = state
        call to decision
    }

    private fun state(mode: Mode): State = synchronized(states) { states[mode] ?: State() }

    /** Return the call with what is known of both sides now; what the app says of the network counts first. */
    private fun known(call: Call, payloadBytes: Long): Call {
        val now = clock()
        val here = call.copy(model = model(now))
        val known = remote?.estimates ?: return here
        val network = here.network.copy(
            rttMs = here.network.rttMs ?: known.rttMs.value,
            uplinkBitsPerS = here.network.uplinkBitsPerS ?: known.uplinkBitsPerS(payloadBytes),
        )
        val server = Server(
            configured = true,
            breaker = remote.breaker.state,
            p90Ms = known.times.quantile(0.9, now),
            p95Ms = known.times.quantile(0.95, now),
            queueMs = known.queueMs(now),
        )
        return here.copy(payloadBytes = payloadBytes, network = network, server = server)
    }

    private fun model(now: Double): Model {
        if (local == null) return Model(present = false)
        return Model(
            present = local.side.isPresent(),
            supported = local.supported,
            peakBytes = if (local.loaded) 0 else profiled.peakBytes,
            p90Ms = estimates.p90Ms(now),
            sustainedRatio = profiled.sustainedRatio,
        )
    }
}

private fun networkTo(endpoint: Endpoint?): Network =
    if (endpoint?.local == true) Network(online = true, metered = false) else Network()

private fun unavailable(decision: Decision): Exception = when {
    decision.reason == Reason.DEADLINE_PASSED ->
        DeadlineMissed("the deadline had passed before the call began", decision, emptyList(), null)
    decision.runOn != null ->
        DeadlineMissed("the policy expects no answer before the deadline", decision, emptyList(), null)
    else -> {
        val sides = "device: ${decision.deviceBlocked ?: "open"}, server: ${decision.serverBlocked ?: "open"}"
        Unavailable("the model may run nowhere ($sides); docs/policy.md lists the reasons", decision)
    }
}

private fun <R> answer(found: SideAnswer<R>, execution: Execution<R>) = Answer(
    result = found.result,
    outputs = found.outputs,
    ranOn = found.side,
    reason = execution.decision.reason,
    decision = execution.decision,
    attempts = execution.attempts,
    model = found.model,
    modelVersion = found.modelVersion,
    modelSha256 = found.modelSha256,
    totalMs = nowMs() - execution.began,
)
