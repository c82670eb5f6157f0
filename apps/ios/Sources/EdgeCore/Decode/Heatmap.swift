private let reach = 3  // cells to each side
private let least = 0.5

/// Return a point in 0…1 moved to its heatmap's centroid of probability within 7 × 7 cells.
///
/// A point outside the heatmap, or where no cell reaches ½ or one is not a number, stays. Cell i lies at i / width, as
/// MediaPipe's RefineLandmarksFromHeatmapCalculator has it.
func refineOnHeatmap(_ point: Point, _ logits: [Float], _ view: PlaneView) -> Point {
    let centreX = (point.x * Double(view.width)).rounded(.down)
    let centreY = (point.y * Double(view.height)).rounded(.down)
    guard centreX >= 0, centreX < Double(view.width), centreY >= 0, centreY < Double(view.height) else { return point }
    let columns = max(0, Int(centreX) - reach)...min(view.width - 1, Int(centreX) + reach)
    let rows = max(0, Int(centreY) - reach)...min(view.height - 1, Int(centreY) + reach)
    var total = 0.0
    var sumX = 0.0
    var sumY = 0.0
    var most = 0.0
    for y in rows {
        for x in columns {
            let logit = logits[view.offset + y * view.rowStep + x * view.columnStep]
            guard !logit.isNaN else { return point }
            let share = sigmoid(logit)
            most = max(most, share)
            total += share
            sumX += share * Double(x)
            sumY += share * Double(y)
        }
    }
    guard most >= least else { return point }
    return Point(x: sumX / total / Double(view.width), y: sumY / total / Double(view.height))
}
