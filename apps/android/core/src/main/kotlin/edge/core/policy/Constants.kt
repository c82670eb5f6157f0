package edge.core.policy

internal const val MEMORY_SHARE = 0.5 // of the available memory that a run may take
internal const val HOT_HEADROOM = 1.0
internal const val HOT_FACTOR = 2.0
internal const val MODERATE_FACTOR = 1.3
internal const val LOW_BATTERY_PERCENT = 15.0
internal const val ENERGY_ENTER = 1.2 // with little energy, the server is preferred up to this multiple
internal const val ENERGY_STAY = 1.5 // of the device's time, and kept up to this one
internal const val SWITCH_BELOW = 0.8 // more than 20 % better
internal const val SWITCH_CALLS = 3
internal const val DWELL_MS = 5_000L
internal const val URGENT_BELOW = 0.5 // more than twice as good: this call does not wait for the others
internal const val FORGET_MS = 60_000L
internal const val SERVER_TIMEOUT_MS = 10_000.0
internal const val LONGEST_MS = 1e9 // keeps every estimate finite

/** The policy's constants by the names of docs/policy.md; the golden file holds them too. */
val POLICY_CONSTANTS: Map<String, Double> = mapOf(
    "memory_share" to MEMORY_SHARE,
    "hot_headroom" to HOT_HEADROOM,
    "hot_factor" to HOT_FACTOR,
    "moderate_factor" to MODERATE_FACTOR,
    "low_battery_percent" to LOW_BATTERY_PERCENT,
    "energy_enter" to ENERGY_ENTER,
    "energy_stay" to ENERGY_STAY,
    "switch_below" to SWITCH_BELOW,
    "switch_calls" to SWITCH_CALLS.toDouble(),
    "dwell_ms" to DWELL_MS.toDouble(),
    "urgent_below" to URGENT_BELOW,
    "forget_ms" to FORGET_MS.toDouble(),
    "server_timeout_ms" to SERVER_TIMEOUT_MS,
    "longest_ms" to LONGEST_MS,
)
