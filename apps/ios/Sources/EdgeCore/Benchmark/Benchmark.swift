import Dispatch
import Foundation

/// Say how long a measurement warms up and runs.
public struct BenchmarkSettings: Equatable, Sendable {
    public var minRuns = 50
    public var minSeconds = 2.0
    public var warmupRuns = 10
    public var warmupSeconds = 1.0

    public init() {}
}

/// What one launch of a model took, every run in nanoseconds, as profile.json keeps it.
public struct LaunchRecord: Equatable, Sendable {
    public let coldLoadNs: Int
    public let firstNs: Int
    public let warmupNs: [Int]
    public let isSteady: Bool
    public let runsNs: [Int]
}

/// Open a model and run it on one set of inputs until enough runs are known; throws what the engine throws.
///
/// `isStopped` is asked before every run, so that a screen can end it. A stopped measurement throws CancellationError.
public func measureLaunch(
    _ open: () throws -> any Engine,
    _ inputs: [String: [Float]],
    _ settings: BenchmarkSettings = BenchmarkSettings(),
    isStopped: () -> Bool = { false }
) throws -> LaunchRecord {
    let began = nowNs()
    let engine = try open()
    let loaded = nowNs()
    let firstNs = try timed(engine, inputs)
    let warmup = try runs(
        engine, inputs, atLeast: settings.warmupRuns, seconds: settings.warmupSeconds, isStopped: isStopped
    )
    let found = try runs(engine, inputs, atLeast: settings.minRuns, seconds: settings.minSeconds, isStopped: isStopped)
    return LaunchRecord(
        coldLoadNs: loaded - began, firstNs: firstNs, warmupNs: warmup, isSteady: isSteady(warmup), runsNs: found
    )
}

/// Return the nearest-rank quantile of runs, 0 without any.
public func quantile(_ share: Double, _ runsNs: [Int]) -> Int {
    let sorted = runsNs.sorted()
    guard !sorted.isEmpty else { return 0 }
    let rank = Int((share * Double(sorted.count)).rounded(.up))
    return sorted[min(max(rank, 1), sorted.count) - 1]
}

private func runs(
    _ engine: any Engine, _ inputs: [String: [Float]], atLeast count: Int, seconds: Double, isStopped: () -> Bool
) throws -> [Int] {
    let ends = nowNs() + Int(seconds * 1e9)
    var found: [Int] = []
    while found.count < count || nowNs() < ends {
        if isStopped() { throw CancellationError() }
        found.append(try timed(engine, inputs))
    }
    return found
}

private func timed(_ engine: any Engine, _ inputs: [String: [Float]]) throws -> Int {
    let began = nowNs()
    _ = try engine.run(inputs)
    return nowNs() - began
}

/// Say whether the halves of the warm-up have medians within a tenth of each other.
private func isSteady(_ warmup: [Int]) -> Bool {
    let half = warmup.count / 2
    guard half > 0 else { return false }
    let early = Double(quantile(0.5, Array(warmup[..<half])))
    let late = Double(quantile(0.5, Array(warmup[half...])))
    return abs(late - early) <= 0.1 * late
}

private func nowNs() -> Int { Int(DispatchTime.now().uptimeNanoseconds) }
