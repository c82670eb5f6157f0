package edge.core.policy

/** Where a model may run, as the manifest's `fallback.policy` and docs/policy.md name it. */
enum class Mode(val code: String) {
    ONLY_ON_DEVICE("only-on-device"),
    PREFER_ON_DEVICE("prefer-on-device"),
    PREFER_SERVER("prefer-server"),
    ONLY_SERVER("only-server");

    internal val namesDeviceFirst: Boolean get() = this == ONLY_ON_DEVICE || this == PREFER_ON_DEVICE

    override fun toString(): String = code
}

enum class Side(val code: String) {
    DEVICE("device"),
    SERVER("server");

    internal val other: Side get() = if (this == DEVICE) SERVER else DEVICE

    override fun toString(): String = code
}

/** What the user said to uploads; unset is denied. */
enum class Consent(val code: String) {
    GRANTED("granted"),
    DENIED("denied"),
    UNSET("unset");

    override fun toString(): String = code
}

/** Whether an input may leave the device at all. */
enum class DataClass(val code: String) {
    LOCAL_ONLY("local_only"),
    MAY_UPLOAD("may_upload");

    override fun toString(): String = code
}

/** Android's thermal status. */
enum class Thermal(val code: String, internal val isHot: Boolean = false) {
    NONE("none"),
    LIGHT("light"),
    MODERATE("moderate"),
    SEVERE("severe", true),
    CRITICAL("critical", true),
    EMERGENCY("emergency", true),
    SHUTDOWN("shutdown", true),
    UNKNOWN("unknown");

    override fun toString(): String = code
}

/** A circuit breaker's state, as the next call sees it. */
enum class BreakerState(val code: String) {
    CLOSED("closed"),
    HALF_OPEN("half_open"),
    OPEN("open");

    override fun toString(): String = code
}

/** Why a call runs where it runs, or what closes a side. */
enum class Reason(val code: String) {
    MODE_ONLY_ON_DEVICE("mode_only_on_device"),
    MODE_ONLY_SERVER("mode_only_server"),
    MODEL_ABSENT("model_absent"),
    UNIT_UNSUPPORTED("unit_unsupported"),
    MEMORY_SHORT("memory_short"),
    CONSENT_UNSET("consent_unset"),
    CONSENT_DENIED("consent_denied"),
    DATA_LOCAL_ONLY("data_local_only"),
    NO_SERVER("no_server"),
    OFFLINE("offline"),
    BREAKER_OPEN("breaker_open"),
    OVER_METERED_CAP("over_metered_cap"),
    PREFERRED("preferred"),
    DEVICE_HOT("device_hot"),
    ENERGY_LOW("energy_low"),
    DEADLINE("deadline"),
    HELD("held"),
    DEADLINE_PASSED("deadline_passed");

    override fun toString(): String = code
}
