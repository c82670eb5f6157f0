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
/// `date` is ISO 8601, `manifestSha256` the digest of the artifact's manifest. Intervals over launches need more
/// launches than an app makes at once: they are null. Throws JsonError for numbers that JSON cannot hold.
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
        "launches": whole(launches.count),
        "min_runs": whole(settings.minRuns),
        "min_seconds": try real(settings.minSeconds),
        "warmup_runs": whole(settings.warmupRuns),
        "warmup_seconds": try real(settings.warmupSeconds),
        "seed": whole(0),
        "threads": whole(device.cores),
    ])
    let variant = jsonOf([
        "name": .string("\(manifest.model) \(manifest.target)@\(manifest.precision)"),
        "artifact": .string("\(manifest.target)@\(manifest.precision)"),
        "sha256": .string(manifestSha256),
        "model": .string(manifest.model),
        "target": .string(manifest.target),
        "precision": .string(manifest.precision),
        "harness": .string("app"),
        "runtime": .string(runtime),
        "threads": whole(device.cores),
        "inputs": .string(isInputReal ? "real" : "random"),
        "emulated": .boolean(device.isEmulated),
        "launches": .array(launches.enumerated().map { launchJson($0.element, order: $0.offset) }),
        "estimate": try estimateJson(launches),
    ])
    return jsonOf([
        "schema": whole(1),
        "date": .string(date),
        "kit": .string("app"),
        "device": deviceJson(device),
        "thermal_gate": .string("off"),
        "gate_reason": .string("the app measures as the phone is"),
        "protocol": protocolJson,
        "variants": .array([variant]),
    ])
}

private func deviceJson(_ device: ProfiledDevice) -> Json {
    jsonOf([
        "id": .string("app"),
        "name": .string(device.name),
        "system": .string(device.system),
        "machine": .string(device.machine),
        "cores": whole(device.cores),
        "ram_bytes": whole(device.ramBytes),
        "emulated": .boolean(device.isEmulated),
    ])
}

private func launchJson(_ launch: LaunchRecord, order: Int) -> Json {
    jsonOf([
        "order": whole(order),
        "cold_load_ns": whole(launch.coldLoadNs),
        "first_ns": whole(launch.firstNs),
        "warmup_ns": .array(launch.warmupNs.map { whole($0) }),
        "steady": .boolean(launch.isSteady),
        "runs_ns": .array(launch.runsNs.map { whole($0) }),
    ])
}

/// Return the estimate over launches: medians of the launches' own, and the least run; null without any run.
private func estimateJson(_ launches: [LaunchRecord]) throws -> Json {
    let runs = launches.flatMap(\.runsNs)
    guard let least = runs.min() else { return .null }
    func middle(_ values: [Int]) throws -> Json { try real(Double(quantile(0.5, values)) / 1e6) }
    return jsonOf([
        "launches": whole(launches.count),
        "runs": whole(runs.count),
        "median_ms": try middle(launches.map { quantile(0.5, $0.runsNs) }),
        "ci95_ms": .null,
        "p90_ms": try middle(launches.map { quantile(0.9, $0.runsNs) }),
        "min_ms": try real(Double(least) / 1e6),
        "first_ms": try middle(launches.map(\.firstNs)),
        "cold_load_ms": try middle(launches.map(\.coldLoadNs)),
    ])
}

// Functions of one type each: a large literal of overloaded calls takes a compiler minutes.

private func whole(_ value: Int) -> Json { .number(String(value)) }

private func real(_ value: Double) throws -> Json { try jsonOf(value) }
