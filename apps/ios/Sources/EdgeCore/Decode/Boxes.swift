import Foundation

private let regionScale = 1.25  // the region is this much larger than the circle around the person

/// A point in 0…1 of a tensor, or in pixels of a picture.
public struct Point: Equatable, Sendable {
    public let x: Double
    public let y: Double

    public init(x: Double, y: Double) {
        self.x = x
        self.y = y
    }
}

/// A box by its corners.
public struct Box: Equatable, Sendable {
    public let x0: Double
    public let y0: Double
    public let x1: Double
    public let y1: Double

    public init(x0: Double, y0: Double, x1: Double, y1: Double) {
        self.x0 = x0
        self.y0 = y0
        self.x1 = x1
        self.y1 = y1
    }

    var area: Double { max(x1 - x0, 0) * max(y1 - y0, 0) }
}

/// One person: score in 0…1, box and 4 keypoints in picture pixels.
///
/// Keypoints: mid-hip, full-body circle, mid-shoulder, upper-body circle (a circle is given by a point on it).
public struct Detection: Equatable, Sendable {
    public let score: Double
    public let box: Box
    public let keypoints: [Point]

    /// Return the turned square that a landmark model wants to see; nil without a direction.
    public func region() -> Region? {
        keypoints.count < 2 ? nil : alignedRegion(keypoints[0], keypoints[1])
    }
}

/// The people of a picture, highest score first.
public struct Detections: Equatable, Sendable {
    public let items: [Detection]
}

/// Return the anchors' centres in 0…1, rows first; every anchor of a cell lies at the cell's centre.
func anchorCentres(_ size: SizeHw, strides: [Int], perCell: [Int]) -> [Point] {
    var centres: [Point] = []
    for (stride, count) in zip(strides, perCell) {
        let rows = (size.height + stride - 1) / stride
        let columns = (size.width + stride - 1) / stride
        for row in 0..<rows {
            for column in 0..<columns {
                let centre = Point(x: (Double(column) + 0.5) / Double(columns), y: (Double(row) + 0.5) / Double(rows))
                centres.append(contentsOf: repeatElement(centre, count: count))
            }
        }
    }
    return centres
}

/// Return intersection over union; 0 for empty boxes.
func iou(_ a: Box, _ b: Box) -> Double {
    let shared = Box(x0: max(a.x0, b.x0), y0: max(a.y0, b.y0), x1: min(a.x1, b.x1), y1: min(a.y1, b.y1)).area
    let union = a.area + b.area - shared
    return union > 0 ? shared / union : 0
}

/// Merge boxes that overlap a better one by more than `iouThreshold` into their score-weighted mean, by falling score.
///
/// A merged detection keeps its best score; each input is used once.
func weightedSuppression(_ found: [Detection], iouThreshold: Double) -> [Detection] {
    // Sorting is not stable here, and equal scores keep their order.
    var left = found.enumerated().sorted { a, b in
        a.element.score > b.element.score || (a.element.score == b.element.score && a.offset < b.offset)
    }.map(\.element)
    var merged: [Detection] = []
    while let best = left.first {
        var group = [best]  // an empty box overlaps nothing, not even itself
        var rest: [Detection] = []
        for item in left.dropFirst() {
            if iou(best.box, item.box) > iouThreshold {
                group.append(item)
            } else {
                rest.append(item)
            }
        }
        merged.append(mean(of: group))
        left = rest
    }
    return merged
}

private func mean(of group: [Detection]) -> Detection {
    var total = 0.0
    for item in group {
        total += item.score
    }
    var box = Box(x0: 0, y0: 0, x1: 0, y1: 0)
    var keypoints = Array(repeating: Point(x: 0, y: 0), count: group[0].keypoints.count)
    for item in group {
        let weight = item.score / total
        box = Box(
            x0: box.x0 + weight * item.box.x0, y0: box.y0 + weight * item.box.y0,
            x1: box.x1 + weight * item.box.x1, y1: box.y1 + weight * item.box.y1
        )
        for (index, point) in item.keypoints.enumerated() {
            let before = keypoints[index]
            keypoints[index] = Point(x: before.x + weight * point.x, y: before.y + weight * point.y)
        }
    }
    return Detection(score: group[0].score, box: box, keypoints: keypoints)
}

/// Return the square around a point that reaches 1.25 times as far as another one, turned so that first to second is
/// up.
///
/// Nil where that is no square: the points are the same, or not finite.
func alignedRegion(_ first: Point, _ second: Point) -> Region? {
    let dx = second.x - first.x
    let dy = second.y - first.y
    let side = 2 * hypot(dx, dy) * regionScale
    let turn = Double.pi / 2 - atan2(-dy, dx)
    let rotation = turn - 2 * Double.pi * ((turn + Double.pi) / (2 * Double.pi)).rounded(.down)  // into −π…π
    guard side > 0, side.isFinite, first.x.isFinite, first.y.isFinite else { return nil }
    return Region(centreX: first.x, centreY: first.y, side: side, rotation: rotation)
}
