import XCTest

@testable import EdgeCore

final class SmoothingTests: XCTestCase {
    func testEveryGoldenCourseIsSmoothed() throws {
        let golden = try Golden("smoothing/smoothing")
        for item in try golden.cases() {
            let name = try item.required("name").string()
            let stated = try item.required("settings").members()
            let settings = try OneEuroSettings(
                minCutoffHz: try stated.required("min_cutoff_hz").double(), beta: try stated.required("beta").double(),
                speedCutoffHz: try stated.required("speed_cutoff_hz").double()
            )
            let times = try golden.integers(try item.required("times")).map { Int64($0) }
            let resets = Set(try item.required("resets").items().map { try $0.int() })
            let values = try golden.doubles(try item.required("values"))
            let expected = try golden.doubles(try item.required("smoothed"))
            let scale = try item.required("scale").double()
            if try item.required("kind").string() == "scalar" {
                var filter = OneEuro(settings)
                var found: [Double] = []
                for (index, value) in values.enumerated() {
                    if resets.contains(index) { filter.reset() }
                    found.append(try filter.smooth(value, timeNs: times[index], scale: scale))
                }
                assertNear(expected, found, 1e-12, name)
            } else {
                let visibility = try golden.doubles(try item.required("visibility"))
                let found = try smoothed(settings, values, visibility, times, resets, scale)
                assertNear(expected, found, 1e-12, name)
            }
        }
    }

    private func smoothed(
        _ settings: OneEuroSettings, _ values: [Double], _ visibility: [Double], _ times: [Int64], _ resets: Set<Int>,
        _ scale: Double
    ) throws -> [Double] {
        let count = visibility.count / times.count
        var smoother = LandmarkSmoother(count: count, settings: settings)
        var found: [Double] = []
        for (index, time) in times.enumerated() {
            if resets.contains(index) { smoother.reset() }
            let points = (0..<count).map { point -> Point3 in
                let at = (index * count + point) * 3
                return Point3(x: values[at], y: values[at + 1], z: values[at + 2])
            }
            let seen = Array(visibility[(index * count)..<((index + 1) * count)])
            let moved = try smoother.smooth(points, visibility: seen, timeNs: time, scale: scale)
            found += moved.flatMap { [$0.x, $0.y, $0.z] }
        }
        return found
    }
}
