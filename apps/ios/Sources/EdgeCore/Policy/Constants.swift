let MEMORY_SHARE = 0.5  // of the available memory that a run may take
let HOT_HEADROOM = 1.0
let HOT_FACTOR = 2.0
let MODERATE_FACTOR = 1.3
let LOW_BATTERY_PERCENT = 15.0
let ENERGY_ENTER = 1.2  // with little energy, the server is preferred up to this multiple of the device's time
let ENERGY_STAY = 1.5  // and kept up to this one
let SWITCH_BELOW = 0.8  // more than 20 % better
let SWITCH_CALLS = 3
let DWELL_MS = 5_000
let URGENT_BELOW = 0.5  // more than twice as good: this call does not wait for the others
let FORGET_MS = 60_000
let SERVER_TIMEOUT_MS = 10_000.0
let LONGEST_MS = 1e9  // keeps every estimate finite

/// The policy's constants by the names of docs/policy.md.
public let POLICY_CONSTANTS: [String: Double] = [
    "memory_share": MEMORY_SHARE,
    "hot_headroom": HOT_HEADROOM,
    "hot_factor": HOT_FACTOR,
    "moderate_factor": MODERATE_FACTOR,
    "low_battery_percent": LOW_BATTERY_PERCENT,
    "energy_enter": ENERGY_ENTER,
    "energy_stay": ENERGY_STAY,
    "switch_below": SWITCH_BELOW,
    "switch_calls": Double(SWITCH_CALLS),
    "dwell_ms": Double(DWELL_MS),
    "urgent_below": URGENT_BELOW,
    "forget_ms": Double(FORGET_MS),
    "server_timeout_ms": SERVER_TIMEOUT_MS,
    "longest_ms": LONGEST_MS,
]
