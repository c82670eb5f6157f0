import EdgeCore
import Foundation

/// The artifacts in the app's bundle that are whole, and what is to be said of the others.
struct Artifacts: Sendable {
    let candidates: [Candidate]
    let problems: [ScreenState]

    /// Read every `Models/NAME/manifest.json` of the bundle and check each file's digest. Takes a while.
    static func read(from root: URL? = Bundle.main.resourceURL?.appendingPathComponent("Models")) -> Artifacts {
        var candidates: [Candidate] = []
        var problems: [ScreenState] = []
        for folder in folders(root) {
            do {
                let text = try Data(contentsOf: folder.appendingPathComponent(MANIFEST))
                let manifest = try readManifest(bytes: [UInt8](text))
                try checkFiles(manifest, in: folder)
                candidates.append(Candidate(folder: folder, manifest: manifest))
            } catch {
                problems.append(stateOf(error))
            }
        }
        return Artifacts(candidates: candidates, problems: problems)
    }

    /// Return the artifacts of a task, Core ML's first: it needs no package and chooses the unit by itself.
    func of(task: String) -> [Candidate] {
        candidates.filter { $0.manifest.task == task }.sorted { rank($0) < rank($1) }
    }

    private func rank(_ candidate: Candidate) -> String {
        (candidate.target.family == "coreml" ? "0" : "1") + candidate.name
    }

    private static func folders(_ root: URL?) -> [URL] {
        guard let root else { return [] }
        let found = try? FileManager.default.contentsOfDirectory(at: root, includingPropertiesForKeys: nil)
        let whole = (found ?? []).filter {
            FileManager.default.fileExists(atPath: $0.appendingPathComponent(MANIFEST).path)
        }
        return whole.sorted { $0.lastPathComponent < $1.lastPathComponent }
    }
}
