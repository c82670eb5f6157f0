private let schema = 1
private let mostBytes = 1 << 53  // every number of bytes up to it is a double
private let hexDigits = Set("0123456789abcdef".utf8)
private let known: Set<String> = [
    "schema", "model", "task", "target", "precision", "files", "inputs", "outputs", "steps", "source", "needs",
    "preprocess", "postprocess", "labels", "parity", "delegation", "estimates", "signature", "fallback",
]

/// Return the manifest of a text; throws ManifestError for a key that is unknown, missing or of another type.
///
/// A newer schema is reported as such before its keys are looked at. File names that lead out of the artifact's folder
/// are refused.
public func readManifest(_ text: String) throws -> Manifest {
    try readManifest(bytes: Array(text.utf8))
}

/// Return the manifest of a file's bytes, as `readManifest(_:)` does.
public func readManifest(bytes: [UInt8]) throws -> Manifest {
    do {
        let reader = JsonReader(try parseJson(bytes: bytes))
        try checkSchema(try reader.members())
        return try manifest(try reader.members(known: known))
    } catch let error as JsonError {
        throw ManifestError("this is no manifest of schema \(schema): \(error); deploy it again with `edge deploy`")
    } catch let error as ContractError {
        throw ManifestError("this manifest contradicts itself: \(error); deploy it again with `edge deploy`")
    }
}

private func checkSchema(_ members: JsonMembers) throws {
    guard let found = members["schema"] else { return }
    let number = try found.int()
    if number > schema {
        throw ManifestError(
            "the manifest has schema \(number), this app reads \(schema); update the app, or deploy with an older kit",
            isNewer: true
        )
    }
    guard number == schema else { throw found.failure("schema \(number) is not \(schema)") }
}

private func manifest(_ members: JsonMembers) throws -> Manifest {
    let contract = try Contract(
        inputs: try members.required("inputs").items().map(tensorSpec),
        outputs: try members.required("outputs").items().map(tensorSpec),
        task: try members.required("task").string(),
        preprocess: try members["preprocess"]?.orNull(preprocessRule),
        postprocess: try members["postprocess"]?.orNull(postprocessRule),
        labels: try members["labels"].map(strings) ?? []
    )
    return Manifest(
        model: try members.required("model").string(),
        target: try members.required("target").string(),
        precision: try members.required("precision").string(),
        files: try fileEntries(try members.required("files")),
        contract: contract,
        steps: try members.required("steps").items().map(step),
        source: try source(try members.required("source")),
        needs: try needs(try members.required("needs")),
        parity: try members["parity"]?.orNull(parity),
        delegation: try members["delegation"]?.orNull(delegation),
        estimates: try members["estimates"].map(doubles) ?? [:],
        signature: try members["signature"]?.string() ?? "",
        fallback: try members["fallback"].map(fallbackRule) ?? Fallback()
    )
}

private func fileEntries(_ reader: JsonReader) throws -> [FileEntry] {
    var names: Set<String> = []
    return try reader.items().map { item in
        let members = try item.members(known: ["name", "bytes", "sha256"])
        let name = try members.required("name")
        let entry = FileEntry(
            name: try name.string(),
            bytes: try members.required("bytes").int(),
            sha256: try members.required("sha256").string()
        )
        guard isInside(entry.name) else { throw name.failure("'\(entry.name)' leads out of the artifact's folder") }
        guard names.insert(entry.name).inserted else { throw name.failure("'\(entry.name)' is listed twice") }
        guard (0...mostBytes).contains(entry.bytes) else { throw item.failure("\(entry.bytes) bytes are no size") }
        guard entry.sha256.utf8.count == 64, entry.sha256.utf8.allSatisfy(hexDigits.contains) else {
            throw item.failure("sha256 is 64 hexadecimal digits in lower case")
        }
        return entry
    }
}

/// Say whether a relative name stays inside its folder, on any system.
private func isInside(_ name: String) -> Bool {
    let parts = name.unicodeScalars.split(separator: "/", omittingEmptySubsequences: false).map { String($0) }
    let strange = name.unicodeScalars.contains { $0 == "\\" || $0.value < 0x20 || $0.value == 0x7f }
    return !strange && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
}

private func tensorSpec(_ reader: JsonReader) throws -> TensorSpec {
    let members = try reader.members(known: ["name", "shape", "dtype", "layout"])
    return try TensorSpec(
        name: try members.required("name").string(),
        shape: try members.required("shape").items().map { try $0.int() },
        dtype: try members["dtype"].map { try choice($0) } ?? .float32,
        layout: try members["layout"].map { try choice($0) } ?? .plain
    )
}

private func preprocessRule(_ reader: JsonReader) throws -> Preprocess {
    let members = try reader.members(known: ["size", "resize", "colour", "range", "mean", "std"])
    let size = try members.required("size").items().map { try $0.int() }
    guard size.count == 2 else { throw reader.failure("size is [height, width]") }
    let range = try members["range"].map { try numbers($0, count: 2) } ?? [0, 1]
    return try Preprocess(
        size: SizeHw(height: size[0], width: size[1]),
        resize: try members["resize"].map { try choice($0) } ?? .stretch,
        colour: try members["colour"].map { try choice($0) } ?? .rgb,
        low: range[0],
        high: range[1],
        mean: try members["mean"].map { try numbers($0, count: 3) } ?? [0, 0, 0],
        std: try members["std"].map { try numbers($0, count: 3) } ?? [1, 1, 1]
    )
}

private func postprocessRule(_ reader: JsonReader) throws -> Postprocess {
    let members = try reader.members(known: ["decoder", "settings"])
    var settings: [String: Setting] = [:]
    if let found = try members["settings"]?.members() {
        for name in found.names {
            settings[name] = try setting(try found.required(name))
        }
    }
    return Postprocess(decoder: try members.required("decoder").string(), settings: settings)
}

private func setting(_ reader: JsonReader) throws -> Setting {
    switch reader.json {
    case .string(let text): return .text(text)
    case .array: return .numbers(try reader.items().map { try $0.double() })
    default: return .number(try reader.double())
    }
}

private func option(_ reader: JsonReader) throws -> Setting {
    switch reader.json {
    case .string(let text): return .text(text)
    case .boolean(let flag): return .flag(flag)
    default: return .number(try reader.double())
    }
}

private func step(_ reader: JsonReader) throws -> Step {
    let members = try reader.members(known: ["tool", "version", "options"])
    var options: [String: Setting] = [:]
    if let found = try members["options"]?.members() {
        for name in found.names {
            options[name] = try option(try found.required(name))
        }
    }
    return Step(
        tool: try members.required("tool").string(), version: try members.required("version").string(), options: options
    )
}

private func source(_ reader: JsonReader) throws -> Source {
    let members = try reader.members(known: ["sha256", "licence", "origin"])
    return Source(
        sha256: try members.required("sha256").string(),
        licence: try members["licence"]?.string() ?? "",
        origin: try members["origin"]?.string() ?? ""
    )
}

private func needs(_ reader: JsonReader) throws -> Needs {
    let members = try reader.members(known: ["min_runtime", "ram_bytes"])
    let ramBytes = try members["ram_bytes"]?.int() ?? 0
    guard (0...mostBytes).contains(ramBytes) else { throw reader.failure("\(ramBytes) bytes are no memory") }
    return Needs(minRuntime: try members.required("min_runtime").string(), ramBytes: ramBytes)
}

private func fallbackRule(_ reader: JsonReader) throws -> Fallback {
    let members = try reader.members(known: ["policy", "endpoint"])
    return Fallback(
        policy: try members["policy"].map { try choice($0) } ?? .onlyOnDevice,
        endpoint: try members["endpoint"]?.string() ?? ""
    )
}

private func parity(_ reader: JsonReader) throws -> Parity {
    let members = try reader.members(known: ["passed", "mode", "inputs", "outputs", "task", "reason"])
    return Parity(
        passed: try members.required("passed").boolean(),
        mode: try choice(try members.required("mode")),
        inputs: try members.required("inputs").string(),
        outputs: try members["outputs"]?.items().map(outputParity) ?? [],
        task: try members["task"]?.orNull(taskParity),
        reason: try members["reason"]?.string() ?? ""
    )
}

private func outputParity(_ reader: JsonReader) throws -> OutputParity {
    let names: Set<String> = ["name", "max_abs", "psnr_db", "cosine", "scale", "limit", "limit_psnr_db"]
    let members = try reader.members(known: names)
    return OutputParity(
        name: try members.required("name").string(),
        maxAbs: try members.required("max_abs").double(),
        psnrDb: try members.required("psnr_db").double(),
        cosine: try members.required("cosine").double(),
        scale: try members.required("scale").double(),
        limit: try members.required("limit").double(),
        limitPsnrDb: try members["limit_psnr_db"]?.orNull { try $0.double() }
    )
}

private func taskParity(_ reader: JsonReader) throws -> TaskParity {
    let members = try reader.members(known: ["metric", "value", "limit"])
    return TaskParity(
        metric: try members.required("metric").string(),
        value: try members.required("value").double(),
        limit: try members.required("limit").double()
    )
}

private func delegation(_ reader: JsonReader) throws -> Delegation {
    let names: Set<String> = ["ops", "by_unit", "macs", "macs_by_unit", "by_backend", "rejected"]
    let members = try reader.members(known: names)
    return Delegation(
        ops: try members.required("ops").int(),
        byUnit: try counts(try members.required("by_unit")),
        macs: try members["macs"]?.int() ?? 0,
        macsByUnit: try members["macs_by_unit"].map(counts) ?? [:],
        byBackend: try members["by_backend"].map(counts) ?? [:],
        rejected: try members["rejected"]?.items().map(rejected) ?? []
    )
}

private func rejected(_ reader: JsonReader) throws -> Rejected {
    let members = try reader.members(known: ["op", "count", "reason", "hint"])
    return Rejected(
        op: try members.required("op").string(),
        count: try members.required("count").int(),
        reason: try members["reason"]?.string() ?? "",
        hint: try members["hint"]?.string() ?? ""
    )
}

private func counts(_ reader: JsonReader) throws -> [String: Int] {
    let members = try reader.members()
    var found: [String: Int] = [:]
    for name in members.names {
        found[name] = try members.required(name).int()
    }
    return found
}

private func doubles(_ reader: JsonReader) throws -> [String: Double] {
    let members = try reader.members()
    var found: [String: Double] = [:]
    for name in members.names {
        found[name] = try members.required(name).double()
    }
    return found
}

private func strings(_ reader: JsonReader) throws -> [String] { try reader.items().map { try $0.string() } }

private func numbers(_ reader: JsonReader, count: Int) throws -> [Double] {
    let found = try reader.items().map { try $0.double() }
    guard found.count == count else { throw reader.failure("\(count) numbers were expected, there are \(found.count)") }
    return found
}

private func choice<T: RawRepresentable & CaseIterable>(_ reader: JsonReader) throws -> T where T.RawValue == String {
    let text = try reader.string()
    guard let found = T(rawValue: text) else {
        let names = T.allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ")
        throw reader.failure("'\(text.prefix(40))' is none of \(names)")
    }
    return found
}
