package edge.core.app

import edge.core.client.Endpoint
import edge.core.client.Engine
import edge.core.client.FallbackRunner
import edge.core.client.Input
import edge.core.client.OnDevice
import edge.core.client.Policy
import edge.core.manifest.Contract
import edge.core.policy.Consent
import edge.core.policy.DataClass
import edge.core.policy.Device
import edge.core.policy.Network
import edge.core.policy.Side
import java.io.Closeable

/**
 * Run a model where the policy says, as if it were one engine; one thread at a time, and it may block.
 *
 * Inputs are copied where a run may outlive its call. Raises what FallbackRunner.call raises.
 */
class Caller internal constructor(private val runner: FallbackRunner, private val gone: (Caller) -> Unit) :
    Engine, Closeable {
    /** Where the last run was; null before the first. */
    @Volatile
    var ranOn: Side? = null
        private set

    override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
        val own = inputs.mapValues { it.value.clone() }
        val answer = runner.call(Input.of(own), dataClass = DataClass.MAY_UPLOAD)
        ranOn = answer.ranOn
        return answer.outputs
    }

    override fun close() {
        gone(this)
        runner.close()
    }

    internal fun follow(consent: Consent) {
        runner.consent = consent
    }
}

/** Every caller that is open, and the consent that all of them follow; any thread. */
class Callers {
    private val open = ArrayList<Caller>()

    /** What the user said. Taken back, every request on its way has been cut off when the assignment returns. */
    var consent: Consent = Consent.UNSET
        @Synchronized get
        @Synchronized set(value) {
            field = value
            open.forEach { it.follow(value) }
        }

    /** Open a caller of a model on the device, of one on a server, or of both. */
    @Synchronized
    fun open(
        local: OnDevice?,
        endpoint: Endpoint?,
        policy: Policy,
        contract: Contract? = null,
        device: () -> Device = { Device() },
        network: () -> Network,
    ): Caller {
        val runner = FallbackRunner(local, endpoint, policy, contract, device, network)
        return Caller(runner, ::forget).also {
            it.follow(consent)
            open.add(it)
        }
    }

    @Synchronized
    private fun forget(caller: Caller) {
        open.remove(caller)
    }
}

/** Return the server that the settings name for a model, or null where they name none. */
fun Settings.endpoint(model: String): Endpoint? = if (server.isEmpty()) null else Endpoint(server, model, token = token)
