/// The name of the manifest in an artifact's folder.
public let MANIFEST = "manifest.json"

/// Name one file of an artifact, relative to its folder.
public struct FileEntry: Equatable, Sendable {
    public let name: String
    public let bytes: Int
    public let sha256: String

    public init(name: String, bytes: Int, sha256: String) {
        self.name = name
        self.bytes = bytes
        self.sha256 = sha256
    }
}

/// Record one tool that shaped the artifact.
public struct Step: Equatable, Sendable {
    public let tool: String
    public let version: String
    public let options: [String: Setting]
}

/// Say where the weights came from.
public struct Source: Equatable, Sendable {
    public let sha256: String
    public let licence: String
    public let origin: String
}

/// Compare one output with the original model's.
public struct OutputParity: Equatable, Sendable {
    public let name: String
    public let maxAbs: Double
    public let psnrDb: Double
    public let cosine: Double
    public let scale: Double
    public let limit: Double
    public let limitPsnrDb: Double?
}

/// Compare what users care about after decoding; `value` reaches `limit` where the artifact passed.
public struct TaskParity: Equatable, Sendable {
    public let metric: String
    public let value: Double
    public let limit: Double
}

/// How an artifact was executed to compare it.
public enum ParityMode: String, CaseIterable, Sendable {
    case native, emulated, reference, unverified
}

/// Say whether the artifact computes what the model computes, and how that is known.
public struct Parity: Equatable, Sendable {
    public let passed: Bool
    public let mode: ParityMode
    public let inputs: String
    public let outputs: [OutputParity]
    public let task: TaskParity?
    public let reason: String
}

/// Name operators that the accelerator refused.
public struct Rejected: Equatable, Sendable {
    public let op: String
    public let count: Int
    public let reason: String
    public let hint: String
}

/// Count operators and multiply-accumulates by the unit that runs them.
public struct Delegation: Equatable, Sendable {
    public let ops: Int
    public let byUnit: [String: Int]
    public let macs: Int
    public let macsByUnit: [String: Int]
    public let byBackend: [String: Int]
    public let rejected: [Rejected]
}

/// State what the device must offer.
public struct Needs: Equatable, Sendable {
    public let minRuntime: String
    public let ramBytes: Int
}

/// Name the policy that sends work to a server, and the server.
public struct Fallback: Equatable, Sendable {
    public let policy: Mode
    public let endpoint: String

    public init(policy: Mode = .onlyOnDevice, endpoint: String = "") {
        self.policy = policy
        self.endpoint = endpoint
    }
}

/// The contract of an artifact with the app: manifest.json, schema 1.
public struct Manifest: Equatable, Sendable {
    public let model: String
    public let target: String
    public let precision: String
    public let files: [FileEntry]
    public let contract: Contract
    public let steps: [Step]
    public let source: Source
    public let needs: Needs
    public let parity: Parity?
    public let delegation: Delegation?
    public let estimates: [String: Double]
    public let signature: String
    public let fallback: Fallback

    public var task: String { contract.task }
    public var inputs: [TensorSpec] { contract.inputs }
    public var outputs: [TensorSpec] { contract.outputs }
    public var preprocess: Preprocess? { contract.preprocess }
    public var postprocess: Postprocess? { contract.postprocess }
    public var labels: [String] { contract.labels }

    /// Return the name of the one file or package folder that ends with `suffix`, nil if there is none.
    public func file(suffix: String) -> String? {
        for entry in files {
            let head = String(entry.name.prefix { $0 != "/" })
            if head.hasSuffix(suffix) { return head }
        }
        return nil
    }
}

/// Report text that is no manifest this app can read; `isNewer` where its schema is a later one.
public struct ManifestError: Error, Equatable, CustomStringConvertible {
    public let description: String
    public let isNewer: Bool

    public init(_ description: String, isNewer: Bool = false) {
        self.description = description
        self.isNewer = isNewer
    }
}
