private let longestConnectMs = 3_000.0

/// How pictures travel: `jpeg` is small and lossy, `png` is exact, `tensors` are the preprocessed input.
public enum Upload: String, CaseIterable, Sendable {
    case jpeg, webp, png, tensors
}

/// The settings of a runner's calls; the defaults send nothing.
public struct Policy: Equatable, Sendable {
    public var mode = Mode.onlyOnDevice
    public var dataClass = DataClass.localOnly
    public var meteredCapBytes = METERED_CAP_BYTES
    public var deadlineMs: Double?
    public var upload = Upload.jpeg

    public init(
        mode: Mode = .onlyOnDevice, dataClass: DataClass = .localOnly, meteredCapBytes: Int = METERED_CAP_BYTES,
        deadlineMs: Double? = nil, upload: Upload = .jpeg
    ) {
        self.mode = mode
        self.dataClass = dataClass
        self.meteredCapBytes = meteredCapBytes
        self.deadlineMs = deadlineMs
        self.upload = upload
    }
}

/// Return how long the server may take, from the decision, before the device takes over or the call fails.
///
/// Nobody knows when a device of unknown speed has to begin; without a hedge it gets the second half of the time.
public func serverLimitMs(_ decision: Decision, deadlineMs: Double?) -> Double? {
    let isUnknown = decision.deviceMs == nil && decision.hedgeAfterMs == nil
    if let deadlineMs, decision.runOn == .server, decision.fallback == .device, isUnknown { return deadlineMs / 2 }
    return decision.timeoutMs
}

/// Return how long connecting may take: where the other side is open, at most half of the time that is left.
public func connectLimitMs(leftMs: Double, hasSpare: Bool) -> Double {
    min(longestConnectMs, hasSpare ? leftMs / 2 : leftMs)
}
