package edge.core.client

/** Return a clock's reading for durations, in milliseconds. */
internal fun nowMs(): Double = System.nanoTime() / 1e6

/** What happened on the wire so far, in milliseconds of `nowMs`; null for what did not. Read by other threads. */
internal class Wire {
    @Volatile var began = nowMs()
    @Volatile var connecting: Double? = null // the look-up of the name included
    @Volatile var tcpBegan: Double? = null
    @Volatile var tcp: Double? = null
    @Volatile var connected: Double? = null
    @Volatile var sending: Double? = null
    @Volatile var sent: Double? = null
    @Volatile var head: Double? = null
    @Volatile var ended: Double? = null

    /** Whether a connection was made for this request. */
    val fresh: Boolean get() = connecting != null

    /** How long TCP took to connect, null if it did not. */
    val tcpMs: Double? get() = between(tcpBegan, tcp)
}

internal fun between(start: Double?, end: Double?): Double? = if (start == null || end == null) null else end - start

/** What one request took and sent; filled on the way, so that a cancelled one tells how far it came. */
internal class Trip {
    val wire = Wire()
    @Volatile var asked: Wire? = null // the question about the model
    @Volatile var prepareMs: Double? = null
    @Volatile var metadataMs: Double? = null
    @Volatile var decodeMs: Double? = null
    @Volatile var payloadBytes = 0L
    @Volatile var reported: Map<String, Double> = emptyMap()

    /** Whether anything was sent, a question about the model included. */
    val sent: Boolean get() = listOfNotNull(asked, wire).any { it.sending != null }

    /** Whether a connection was used or tried. */
    val tried: Boolean get() = listOfNotNull(asked, wire).any { it.connecting != null || it.sending != null }

    /** Return where the time went. */
    fun spans(): Spans = Spans(
        prepareMs = prepareMs,
        metadataMs = metadataMs,
        connectMs = between(wire.connecting, wire.connected),
        sendMs = between(wire.sending, wire.sent),
        waitMs = between(wire.sent, wire.head),
        receiveMs = between(wire.head, wire.ended),
        queueMs = reported["queue_ms"],
        inferenceMs = reported["inference_ms"],
        decodeMs = decodeMs,
    )
}
