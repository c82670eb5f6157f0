import Dispatch

/// Return a clock's reading in milliseconds; it never goes back.
public typealias MonotonicClock = @Sendable () -> Double

/// Return a clock's reading for durations, in milliseconds.
@Sendable
public func nowMs() -> Double { Double(DispatchTime.now().uptimeNanoseconds) / 1e6 }

/// Wait; throws CancellationError as soon as the task is cancelled.
func sleep(ms: Double) async throws {
    try await Task.sleep(nanoseconds: UInt64(min(max(0, ms), 1e9) * 1e6))
}

/// Return what a function returns within a time; after it the function is cancelled and `late` is thrown.
func within<T: Sendable>(
    ms: Double, late: any Error, _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    try await withThrowingTaskGroup(of: T.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await sleep(ms: ms)
            throw late
        }
        defer { group.cancelAll() }
        guard let first = try await group.next() else { throw CancellationError() }
        return first
    }
}
