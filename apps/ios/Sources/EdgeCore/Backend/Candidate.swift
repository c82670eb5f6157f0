import Foundation

/// A target's id: RUNTIME-BACKEND[:CHIP], `coreml` or `executorch-coreml` for example.
public struct TargetId: Equatable, Sendable, CustomStringConvertible {
    public let family: String
    public let chip: String

    public init(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        family = parts.first.map { String($0) } ?? ""
        chip = parts.count > 1 ? String(parts[1]) : ""
    }

    public var description: String { chip.isEmpty ? family : "\(family):\(chip)" }
}

/// An artifact in its folder that may be run.
public struct Candidate: Equatable, Sendable {
    public let folder: URL
    public let manifest: Manifest

    public init(folder: URL, manifest: Manifest) {
        self.folder = folder
        self.manifest = manifest
    }

    public var target: TargetId { TargetId(manifest.target) }

    /// The artifact's name, unique among those of one model.
    public var name: String { "\(manifest.target)@\(manifest.precision)" }
}

/// Say of one candidate why it was not taken.
public struct NotTaken: Equatable, Sendable {
    public let name: String
    public let reason: String
}

/// Report that none of the candidates could be opened.
public struct NoBackend: Error, Equatable, CustomStringConvertible {
    public let notTaken: [NotTaken]

    public var description: String {
        if notTaken.isEmpty { return "there is no artifact to open; embed one with `edge embed`" }
        let tried = notTaken.map { "\($0.name): \($0.reason)" }.joined(separator: "; ")
        return "no artifact could be opened: \(tried)"
    }
}
