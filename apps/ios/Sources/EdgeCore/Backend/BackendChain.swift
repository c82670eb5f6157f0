/// An engine that was opened, and why those before it were not taken.
public struct Opened {
    public let engine: any Engine
    public let candidate: Candidate
    public let notTaken: [NotTaken]
}

/// Opens the first of several artifacts of one model that this device can run.
///
/// `openers` holds, by a target's family (`coreml`, `executorch-coreml`), what opens its artifacts: the runtimes that
/// the app has in it. An opener throws where its runtime refuses. `freeRamBytes` nil is not known and keeps nothing
/// from being tried.
public struct BackendChain: Sendable {
    public typealias Opener = @Sendable (Candidate) throws -> any Engine

    private let openers: [String: Opener]
    private let freeRamBytes: Int?

    public init(openers: [String: Opener], freeRamBytes: Int? = nil) {
        self.openers = openers
        self.freeRamBytes = freeRamBytes
    }

    /// Try the candidates in order, the one named `preferred` first, and return the first that opens.
    ///
    /// Throws NoBackend with every reason when none does.
    public func open(_ candidates: [Candidate], preferred: String? = nil) throws -> Opened {
        var notTaken: [NotTaken] = []
        let first = candidates.filter { $0.name == preferred }
        if let preferred, first.isEmpty {
            notTaken.append(NotTaken(name: preferred, reason: "it is not among the artifacts"))
        }
        for candidate in first + candidates.filter({ $0.name != preferred }) {
            if let reason = obstacle(candidate) {
                notTaken.append(NotTaken(name: candidate.name, reason: reason))
                continue
            }
            guard let opener = openers[candidate.target.family] else { continue }
            do {
                return Opened(engine: try opener(candidate), candidate: candidate, notTaken: notTaken)
            } catch {
                notTaken.append(NotTaken(name: candidate.name, reason: String(describing: error)))
            }
        }
        throw NoBackend(notTaken: notTaken)
    }

    /// Return why a candidate need not be tried, nil where nothing speaks against it.
    private func obstacle(_ candidate: Candidate) -> String? {
        let target = candidate.target
        let manifest = candidate.manifest
        if openers[target.family] == nil { return "the app has no runtime for \(target.family)" }
        if !target.chip.isEmpty { return "it is for \(target.chip), which no device of this system has" }
        if let freeRamBytes, manifest.needs.ramBytes > freeRamBytes {
            return "it needs \(manifest.needs.ramBytes) bytes of memory, \(freeRamBytes) are free"
        }
        if let parity = manifest.parity, !parity.passed, parity.mode != .unverified {
            let reason = parity.reason.isEmpty ? "parity failed" : parity.reason
            return "it does not compute what the model computes: \(reason)"
        }
        return nil
    }
}
