/// Runs one model on this device; it is opened and used on one queue.
public protocol Engine {
    /// Return the outputs (row-major, by name) of inputs (row-major, by name).
    func run(_ inputs: [String: [Float]]) throws -> [String: [Float]]
}

/// A model's measured figures on this device, as a profile.json has them; nil for what was not measured.
public struct Profiled: Equatable, Sendable {
    public var p90Ms: Double?
    public var sustainedRatio: Double?
    public var peakBytes: Int?  // above what the process took before it loaded the model

    public init(p90Ms: Double? = nil, sustainedRatio: Double? = nil, peakBytes: Int? = nil) {
        self.p90Ms = p90Ms
        self.sustainedRatio = sustainedRatio
        self.peakBytes = peakBytes
    }
}

/// The device's side of a model.
///
/// `open` is called by the first run, on the engine's queue; EngineUnsupported says that it never will open here.
/// `isPresent` says whether the artifact's files are on the device, complete.
public struct OnDevice: Sendable {
    public let contract: Contract
    public let model: String
    public let modelSha256: String
    public let profiled: Profiled
    public let isPresent: @Sendable () -> Bool
    public let open: @Sendable () throws -> any Engine

    public init(
        contract: Contract,
        model: String,
        modelSha256: String,
        profiled: Profiled = Profiled(),
        isPresent: @escaping @Sendable () -> Bool = { true },
        open: @escaping @Sendable () throws -> any Engine
    ) {
        self.contract = contract
        self.model = model
        self.modelSha256 = modelSha256
        self.profiled = profiled
        self.isPresent = isPresent
        self.open = open
    }
}
