/// What suits landmarks whose speeds are measured in sizes of the person a second.
public let LANDMARK_SETTINGS = OneEuroSettings(checkedMinCutoffHz: 0.05, beta: 80, speedCutoffHz: 1)

/// Smooth the landmarks of one person; every axis of every point has its own One-Euro filter.
///
/// A point seen less than `leastVisible`, or one that is not finite, passes as it is and begins anew when it is seen
/// again: what a model guesses must not pull on what it sees.
public struct LandmarkSmoother: Sendable {
    private let settings: OneEuroSettings
    private let leastVisible: Double
    private var values: [Point3]
    private var speeds: [Point3]
    private var isStarted: [Bool]
    private var atNs: Int64?

    public init(count: Int, settings: OneEuroSettings = LANDMARK_SETTINGS, leastVisible: Double = 0.5) {
        self.settings = settings
        self.leastVisible = leastVisible
        values = Array(repeating: Point3(x: 0, y: 0, z: 0), count: count)
        speeds = values
        isStarted = Array(repeating: false, count: count)
    }

    /// Forget everything, as for another person.
    public mutating func reset() {
        isStarted = Array(repeating: false, count: isStarted.count)
        atNs = nil
    }

    /// Return the points smoothed; speeds count in units of `scale`, the person's size, a second.
    ///
    /// A time that is not after the last one's changes nothing: seen points take their last smoothed place.
    public mutating func smooth(
        _ points: [Point3], visibility: [Double], timeNs: Int64, scale: Double
    ) throws -> [Point3] {
        guard points.count == values.count, visibility.count == values.count else {
            throw ContractError("\(points.count) points, \(visibility.count) visibilities; expected \(values.count)")
        }
        try checkScale(scale)
        let seconds = atNs.map { Double(timeNs - $0) / 1e9 } ?? 0
        let isLate = atNs.map { timeNs <= $0 } ?? false
        var smoothed = points
        for (index, point) in points.enumerated() {
            if !isSeen(point, visibility[index]) {
                if !isLate { isStarted[index] = false }
            } else if isStarted[index] {
                if !isLate { step(point, index, seconds, scale) }
                smoothed[index] = values[index]
            } else if !isLate {
                isStarted[index] = true
                values[index] = point
                speeds[index] = Point3(x: 0, y: 0, z: 0)
            }
        }
        if !isLate { atNs = timeNs }
        return smoothed
    }

    private func isSeen(_ point: Point3, _ visibility: Double) -> Bool {
        visibility >= leastVisible && point.x.isFinite && point.y.isFinite && point.z.isFinite
    }

    private mutating func step(_ raw: Point3, _ index: Int, _ seconds: Double, _ scale: Double) {
        let before = values[index]
        let speed = speeds[index]
        let x = stepped(raw.x, before.x, speed.x, seconds, scale)
        let y = stepped(raw.y, before.y, speed.y, seconds, scale)
        let z = stepped(raw.z, before.z, speed.z, seconds, scale)
        values[index] = Point3(x: x.value, y: y.value, z: z.value)
        speeds[index] = Point3(x: x.speed, y: y.speed, z: z.speed)
    }

    private func stepped(
        _ raw: Double, _ before: Double, _ speed: Double, _ seconds: Double, _ scale: Double
    ) -> (value: Double, speed: Double) {
        let found = (raw - before) / seconds / scale
        let next = speed + share(settings.speedCutoffHz, seconds) * (found - speed)
        let value = before + share(settings.minCutoffHz + settings.beta * abs(next), seconds) * (raw - before)
        return (value, next)
    }
}

/// Follow one person: where the landmark model looks next, or nil while the detector has to find somebody.
///
/// A pose with a person gives the next picture's region by its own landmarks; without one the person is lost.
public struct RegionTracker: Sendable {
    /// Where to look in the next picture; nil asks the detector.
    public private(set) var region: Region?

    public init() {}

    /// Begin with what the detector found; nil where it found nobody.
    public mutating func begin(_ found: Region?) {
        region = found
    }

    /// Take the pose that was placed in the region and return where to look next.
    public mutating func follow(_ pose: Pose) -> Region? {
        region = pose.found ? pose.nextRegion : nil
        return region
    }

    /// Forget the person.
    public mutating func reset() {
        region = nil
    }
}
