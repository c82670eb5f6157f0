/// Where a model may run, as the manifest's `fallback.policy` and docs/policy.md name it.
public enum Mode: String, CaseIterable, Sendable {
    case onlyOnDevice = "only-on-device"
    case preferOnDevice = "prefer-on-device"
    case preferServer = "prefer-server"
    case onlyServer = "only-server"

    var namesDeviceFirst: Bool { self == .onlyOnDevice || self == .preferOnDevice }
}

/// The two places where a model can run.
public enum Side: String, CaseIterable, Sendable {
    case device, server

    var other: Side { self == .device ? .server : .device }
}

/// What the user said to uploads; unset is denied.
public enum Consent: String, CaseIterable, Sendable {
    case granted, denied, unset
}

/// Whether an input may leave the device at all.
public enum DataClass: String, CaseIterable, Sendable {
    case localOnly = "local_only"
    case mayUpload = "may_upload"
}

/// Android's thermal status; iOS tells `none`, `light`, `severe` and `critical`.
public enum Thermal: String, CaseIterable, Sendable {
    case none, light, moderate, severe, critical, emergency, shutdown, unknown

    var isHot: Bool { self == .severe || self == .critical || self == .emergency || self == .shutdown }
}

/// A circuit breaker's state, as the next call sees it.
public enum BreakerState: String, CaseIterable, Sendable {
    case closed
    case halfOpen = "half_open"
    case open
}

/// Why a call runs where it runs, or what closes a side.
public enum Reason: String, CaseIterable, Sendable {
    case modeOnlyOnDevice = "mode_only_on_device"
    case modeOnlyServer = "mode_only_server"
    case modelAbsent = "model_absent"
    case unitUnsupported = "unit_unsupported"
    case memoryShort = "memory_short"
    case consentUnset = "consent_unset"
    case consentDenied = "consent_denied"
    case dataLocalOnly = "data_local_only"
    case noServer = "no_server"
    case offline
    case breakerOpen = "breaker_open"
    case overMeteredCap = "over_metered_cap"
    case preferred
    case deviceHot = "device_hot"
    case energyLow = "energy_low"
    case deadline
    case held
    case deadlinePassed = "deadline_passed"
}
