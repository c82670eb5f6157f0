package edge.core.client

import edge.core.json.Json
import edge.core.json.JsonNumber
import edge.core.json.JsonString
import edge.core.manifest.Contract
import edge.core.oip.AnswerError
import edge.core.oip.Busy
import edge.core.oip.HEADER
import edge.core.oip.InferResponse
import edge.core.oip.Message
import edge.core.oip.TooManyRequests
import edge.core.oip.encodeRequest
import edge.core.oip.parseError
import edge.core.oip.parseResponse
import edge.core.oip.readMetadata
import edge.core.policy.Reason
import edge.core.policy.Side

private const val JSON_BYTES = 512L // of a request, about
private const val FIRST_BYTES_PER_PIXEL = 0.3 // of an encoded picture, before one was measured
private const val LOOK_AGAIN_MS = 60_000.0 // at the metadata of a server whose model did not fit

/** The server's side: one model of one endpoint, its metadata, its requests and answers, and what they teach. */
internal class Remote(
    val endpoint: Endpoint,
    val contract: Contract,
    private val policy: Policy,
    private val clock: Clock,
) {
    private class Misfit(val error: ContractError, val atMs: Double)

    val breaker = Breaker(clock)
    val budget = RetryBudget()
    val estimates = ServerEstimates()
    private val transport = Transport(endpoint)
    private val bytesPerPixel = Smoothed()

    @Volatile private var served: Served? = null

    @Volatile private var misfit: Misfit? = null

    /** Return the size of the request, estimated for a picture that is not encoded yet unless it has to be exact. */
    fun payloadBytes(input: Input<*>, exact: Boolean): Long {
        val picture = input.picture
        if (picture == null || kind(input) == Upload.TENSORS) return tensorBytes(contract)
        if (exact) return encoded(picture).size + JSON_BYTES
        val pixels = picture.width.toLong() * picture.height
        return ((bytesPerPixel.value ?: FIRST_BYTES_PER_PIXEL) * pixels).toLong() + JSON_BYTES
    }

    /**
     * Ask once. `limitMs` is how long the client will wait, and what the server is told.
     *
     * Raises ServeError by the server's status, Unreachable, Cut, AnswerError, ContractError for a model that does not
     * fit, Blocked above `capBytes`, Aborted.
     */
    fun <R> infer(
        input: Input<R>, trip: Trip, abort: Abort, limitMs: Double, connectMs: Double, capBytes: Long?,
    ): SideAnswer<R> {
        val ends = nowMs() + limitMs
        val served = look(trip, abort, connectMs)
        val message = message(input, trip, served, ends)
        if (capBytes != null && trip.payloadBytes > capBytes) {
            throw Blocked(
                Reason.OVER_METERED_CAP,
                "the request has ${trip.payloadBytes} bytes; at most $capBytes go over a metered network",
            )
        }
        trip.wire.began = nowMs()
        val reply = transport.infer(message, trip.wire, abort, connectMs)
        val (response, outputs) = read(reply, served)
        trip.reported = numbers(response)
        learn(trip)
        val began = nowMs()
        val result = input.decode(outputs, contract)
        trip.decodeMs = nowMs() - began
        val weights = (response.parameters["weights_sha256"] as? JsonString)?.value ?: ""
        return SideAnswer(Side.SERVER, outputs, result, response.modelName, response.modelVersion, weights)
    }

    /** Learn from a request that was cancelled or took too long. */
    fun givenUp(trip: Trip) {
        if (trip.wire.sending != null && trip.wire.head == null) estimates.gaveUp(nowMs() - trip.wire.began, clock())
    }

    /** Remember a wait that the server named. */
    fun announced(retryAfterS: Int) = estimates.announced(minOf(retryAfterS, LONGEST_RETRY_AFTER_S), clock())

    fun disconnect() = transport.disconnect()

    fun close() = transport.close()

    private fun kind(input: Input<*>): Upload {
        val kind = input.travels(contract, policy)
        return if (served?.pictures != false) kind else Upload.TENSORS
    }

    /** Return the server's model, asked for once; the connection is kept for the request. */
    private fun look(trip: Trip, abort: Abort, connectMs: Double): Served {
        served?.let { return it }
        misfit?.let { if (clock() - it.atMs < LOOK_AGAIN_MS) throw it.error }
        val asked = Wire()
        trip.asked = asked
        val reply = transport.get(asked, abort, connectMs)
        trip.metadataMs = nowMs() - asked.began
        asked.tcpMs?.let { estimates.rttMs.add(it, clock()) }
        if (reply.status != 200) throw refusal(reply)
        try {
            return checkContract(readMetadata(reply.body), contract).also { served = it }
        } catch (error: ContractError) {
            misfit = Misfit(error, clock())
            throw error
        }
    }

    private fun message(input: Input<*>, trip: Trip, served: Served, ends: Double): Message {
        val began = nowMs()
        val picture = input.picture
        val tensors = if (picture == null || kind(input) == Upload.TENSORS) {
            served.tensors(input.inputs(contract))
        } else {
            encoded(picture)
            listOf(picture.tensor(contract.inputs[0].name))
        }
        trip.prepareMs = nowMs() - began
        val leftUs = ((ends - nowMs()) * 1e3).toLong().coerceAtLeast(1)
        val outputs = served.outputs.map { it.name }
        val all = outputs.size == served.metadata.outputs.size
        val message = encodeRequest(tensors, if (all) emptyList() else outputs, timeoutUs = leftUs)
        trip.payloadBytes = message.body.size.toLong()
        return message
    }

    private fun encoded(picture: PictureFile): ByteArray {
        val encoded = picture.encoded
        bytesPerPixel.add(encoded.size.toDouble() / picture.width / picture.height, clock())
        return encoded
    }

    private fun read(reply: Reply, served: Served): Pair<InferResponse, Map<String, FloatArray>> {
        if (reply.status != 200) throw refusal(reply)
        try {
            val response = parseResponse(reply.body, reply.headers[HEADER.lowercase()], served.outputs)
            return response to served.arrays(response.outputs)
        } catch (error: AnswerError) {
            this.served = null // the model may have been replaced by another
            throw error
        }
    }

    private fun learn(trip: Trip) {
        val wire = trip.wire
        val exchange = Exchange(
            payloadBytes = trip.payloadBytes,
            sendMs = between(wire.sending, wire.sent) ?: return,
            waitMs = between(wire.sent, wire.head) ?: return,
            serverMs = ownTime(trip.reported),
            connectMs = wire.tcpMs,
        )
        estimates.observe(exchange, clock())
    }
}

/** Return the size of a request with the contract's inputs as tensors, about. */
private fun tensorBytes(contract: Contract): Long =
    contract.inputs.sumOf { it.count.toLong() * (it.datatype.bytes ?: 0) } + JSON_BYTES

private fun refusal(reply: Reply): Exception {
    val after = reply.headers["retry-after"]
    val error = parseError(reply.status, reply.body, after ?: "")
    return when {
        after != null -> error
        error is Busy -> Busy(error.message ?: "", 0)
        error is TooManyRequests -> TooManyRequests(error.message ?: "", 0)
        else -> error
    }
}

/** Return the durations that the server reports of itself, as far as they can be true. */
private fun numbers(response: InferResponse): Map<String, Double> {
    val found = LinkedHashMap<String, Double>()
    for (name in listOf("prepare_ms", "queue_ms", "inference_ms", "total_ms")) {
        val value: Json? = response.parameters[name]
        val number = (value as? JsonNumber)?.text?.toDouble() ?: continue
        if (number >= 0 && number < 1e9) found[name] = number
    }
    return found
}

/** Return the server's time from the whole request to the answer: as it says, or as the sum of its parts. */
private fun ownTime(reported: Map<String, Double>): Double? {
    reported["total_ms"]?.let { return it }
    val parts = listOf("prepare_ms", "queue_ms", "inference_ms").map { reported[it] ?: return null }
    return parts.sum()
}
