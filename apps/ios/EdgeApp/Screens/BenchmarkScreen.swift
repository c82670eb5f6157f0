import EdgeCore
import SwiftUI
import UIKit

/// Measures every embedded model once in this app and writes profile.json, which `edge report` reads.
struct BenchmarkScreen: View {
    @ObservedObject var work: Workshop
    @StateObject private var bench = Bench()

    var body: some View {
        NavigationStack {
            List {
                Text(
                    "Measures every embedded model in this app, once, on random inputs. A profile of several launches, "
                        + "of operators, of memory and of energy needs a computer: edge profile."
                )
                ForEach(bench.lines) { line in
                    VStack(alignment: .leading) {
                        Text(line.name)
                        Text(line.text).font(.caption.monospacedDigit())
                    }
                }
                ForEach(bench.profiles, id: \.self) { ShareLink("Share \($0.lastPathComponent)", item: $0) }
                if bench.isRunning {
                    Button("Cancel") { bench.stop() }
                } else {
                    Button("Measure") { bench.run(work) }
                }
            }
            .navigationTitle("Measure")
        }
        .onDisappear { bench.stop() }
    }
}

/// One model's line on the screen.
struct BenchLine: Identifiable {
    let name: String
    let text: String
    var id: String { name }
}

/// The measurement; on the main actor, while models run elsewhere.
@MainActor
final class Bench: ObservableObject {
    @Published private(set) var lines: [BenchLine] = []
    @Published private(set) var profiles: [URL] = []
    @Published private(set) var isRunning = false
    private var running: Task<Void, Never>?
    private let isStopped = Locked(false)

    func run(_ work: Workshop) {
        lines = []
        profiles = []
        isRunning = true
        isStopped.with { $0 = false }
        running = Task {
            await work.start()
            for candidate in work.artifacts?.candidates ?? [] where !isStopped.with({ $0 }) {
                await measure(candidate)
            }
            isRunning = false
        }
    }

    func stop() {
        isStopped.with { $0 = true }
    }

    private func measure(_ candidate: Candidate) async {
        let device = deviceRecord()
        let stopped = isStopped
        do {
            let measured = try await Task.detached(priority: .userInitiated) {
                try profile(candidate, device) { stopped.with { $0 } }
            }.value
            lines.append(BenchLine(name: "\(candidate.manifest.model) \(candidate.name)", text: measured.text))
            profiles.append(measured.file)
        } catch {
            let text = error is CancellationError ? "cancelled" : String(describing: error)
            lines.append(BenchLine(name: "\(candidate.manifest.model) \(candidate.name)", text: text))
        }
    }

    private func deviceRecord() -> ProfiledDevice {
        #if targetEnvironment(simulator)
        let isEmulated = true
        #else
        let isEmulated = false
        #endif
        let process = ProcessInfo.processInfo
        return ProfiledDevice(
            name: UIDevice.current.model, machine: "arm64",
            system: "\(UIDevice.current.systemName) \(UIDevice.current.systemVersion)",
            cores: process.activeProcessorCount, ramBytes: Int(process.physicalMemory), isEmulated: isEmulated
        )
    }
}

/// Measure one artifact and write its profile.json; takes seconds, not for the main actor.
private func profile(
    _ candidate: Candidate, _ device: ProfiledDevice, isStopped: () -> Bool
) throws -> (text: String, file: URL) {
    let manifest = candidate.manifest
    var inputs: [String: [Float]] = [:]
    for spec in manifest.inputs {
        inputs[spec.name] = (0..<spec.count).map { _ in spec.dtype.isFloat ? Float.random(in: 0..<1) : 0 }
    }
    let settings = BenchmarkSettings()
    let open = { try engines().open([candidate]).engine }
    let launch = try measureLaunch(open, inputs, settings, isStopped: isStopped)
    let json = try profileJson(
        [launch], of: manifest, manifestSha256: try digest(file: candidate.folder.appendingPathComponent(MANIFEST)),
        runtime: candidate.target.family == "coreml" ? "Core ML \(device.system)" : manifest.needs.minRuntime,
        device: device, settings: settings, date: Date().ISO8601Format(), isInputReal: false
    )
    let name = "\(manifest.model)-\(manifest.target)@\(manifest.precision)-profile.json"
    let file = FileManager.default.temporaryDirectory
        .appendingPathComponent(name.replacingOccurrences(of: ":", with: "-"))
    try Data(json.write().utf8).write(to: file, options: .atomic)
    let median = Double(quantile(0.5, launch.runsNs)) / 1e6
    let p90 = Double(quantile(0.9, launch.runsNs)) / 1e6
    let text = String(format: "median %.2f ms, 90th percentile %.2f ms, %d runs", median, p90, launch.runsNs.count)
    return (text, file)
}
