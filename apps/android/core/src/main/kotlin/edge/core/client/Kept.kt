package edge.core.client

private const val KEPT_MS = 1_000.0

/** A provider of the app's, asked at most once a second; one that raises knows nothing. Thread-safe. */
internal class Kept<T : Any>(private val provider: () -> T, private val unknown: T, private val clock: Clock) {
    private var found: T? = null
    private var atMs = 0.0

    @Synchronized
    fun read(): T {
        val now = clock()
        val known = found
        if (known != null && now - atMs >= 0 && now - atMs < KEPT_MS) return known
        val read = try {
            provider()
        } catch (_: Exception) { // of an app's own code, which must not take a call down
            unknown
        }
        found = read
        atMs = now
        return read
    }
}
