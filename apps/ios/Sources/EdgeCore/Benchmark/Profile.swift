/// What measured, and on what, as the head of profile.json states it.
public struct ProfiledDevice: Equatable, Sendable {
    public let name: String
    public let machine: String
    public let system: String
    public let cores: Int
    public let ramBytes: Int
    public let isEmulated: Bool  // a simulator: its times say nothing

    public init(name: String, machine: String, system: String, cores: Int, ramBytes: Int, isEmulated: Bool) {
        self.name = name
        self.machine = machine
        self.system = system
        self.cores = cores
        self.ramBytes = ramBytes
        self.isEmulated = isEmulated
    }
}

/// Return profile.json of one artifact's launches, as `edge profile` writes it and `edge report` reads it.
///
/// `date` is ISO 8601, `manifestSha256` the digest of the artifact's manifest. Intervals over launches need more launches
/// than an app makes at once: they are null. Throws JsonError for numbers that JSON cannot hold.
public func profileJson(
    _ launches: [LaunchRecord],
    of manifest: Manifest,
    manifestSha256: String,
    runtime: String,
    device: ProfiledDevice,
    settings: BenchmarkSettings,
    date: String,
    isInputReal: Bool
) throws -> Json {
    let protocolJson = jsonOf([
        "launches": jsonOf(launches.count),
        "min_runs": jsonOf(settings.minRuns),
        "min_seconds": try jsonOf(settings.minSeconds),
        "warmup_runs": jsonOf(settings.warmupRuns),
        "warmup_seconds": try jsonOf(settings.warmupSeconds),
        "seed": jsonOf(0),
        "threads": jsonOf(device.cores),
    ])
    let variant = jsonOf([
        "name": jsonOf("\(manifest.model) \(manifest.target)@\(manifest.precision)"),
        "artifact": jsonOf("\(manifest.target)@\(manifest.precision)"),
        "sha256": jsonOf(manifestSha256),
        "model": jsonOf(manifest.model),
        "target": jsonOf(manifest.target),
        "precision": jsonOf(manifest.precision),
        "harness": jsonOf("native"),
        "runtime": jsonOf(runtime),
        "threads": jsonOf(device.cores),
        "inputs": jsonOf(isInputReal ? "real" : "random"),
        "emulated": jsonOf(device.isEmulated),
        "launches": .array(launches.enumerated().map { launchJson($0.element, order: $0.offset) }),
        "estimate": try estimateJson(launches),
    ])
    return jsonOf([
        "schema": jsonOf(1),
        "date": jsonOf(date),
        "kit": jsonOf("app"),
        "device": deviceJson(device),
        "thermal_gate": jsonOf("off"),
        "gate_reason": jsonOf("the app measures as the phone is"),
        "protocol": protocolJson,
        "variants": .array([variant]),
    ])
}

private func deviceJson(_ device: ProfiledDevice) -> Json {
    jsonOf([
        "id": jsonOf("app"),
        "name": jsonOf(device.name),
        "system": jsonOf(device.system),
        "machine": jsonOf(device.machine),
        "cores": jsonOf(device.cores),
        "ram_bytes": jsonOf(device.ramBytes),
        "emulated": jsonOf(device.isEmulated),
    ])
}

private func launchJson(_ launch: LaunchRecord, order: Int) -> Json {
    jsonOf([
        "order": jsonOf(order),
        "cold_load_ns": jsonOf(launch.coldLoadNs),
        "first_ns": jsonOf(launch.firstNs),
        "warmup_ns": .array(launch.warmupNs.map { jsonOf($0) }),
        "steady": jsonOf(launch.isSteady),
        "runs_ns": .array(launch.runsNs.map { jsonOf($0) }),
    ])
}

/// Return the estimate over launches: medians of the launches' own, and the least run; null without any run.
private func estimateJson(_ launches: [LaunchRecord]) throws -> Json {
    let runs = launches.flatMap(\.runsNs)
    guard let least = runs.min() else { return .null }
    func middle(_ values: [Int]) throws -> Json { try jsonOf(Double(quantile(0.5, values)) / 1e6) }
    return jsonOf([
        "launches": jsonOf(launches.count),
        "runs": jsonOf(runs.count),
        "median_ms": try middle(launches.map { quantile(0.5, $0.runsNs) }),
        "ci95_ms": .null,
        "p90_ms": try middle(launches.map { quantile(0.9, $0.runsNs) }),
        "min_ms": try jsonOf(Double(least) / 1e6),
        "first_ms": try middle(launches.map(\.firstNs)),
        "cold_load_ms": try middle(launches.map(\.coldLoadNs)),
    ])
}
