/// Find people: outputs `boxes` (1, N, 4 + 2K) and `scores` (1, N, 1) of logits, over the anchors in the settings.
public struct PoseDetection: Sendable {
    private let boxes: Output
    private let scores: Output
    private let anchors: [Point]
    private let scoreThreshold: Double
    private let iouThreshold: Double
    private let scale: Double

    /// Throw ContractError for a contract whose outputs do not fit its anchors.
    public init(_ contract: Contract) throws {
        guard let size = contract.preprocess?.size ?? contract.inputs[0].size else {
            throw ContractError("\(contract.inputs[0].name): finding people needs an image")
        }
        boxes = try Output(contract, "boxes")
        scores = try Output(contract, "scores")
        anchors = anchorCentres(
            size,
            strides: try contract.wholeSettings("strides", default: [8, 16, 32]),
            perCell: try contract.wholeSettings("anchors_per_cell", default: [2, 2, 6])
        )
        scoreThreshold = try contract.setting("score_threshold", default: 0.5)
        iouThreshold = try contract.setting("iou_threshold", default: 0.3)
        scale = try contract.setting("scale", default: Double(size.width))
        let shape = boxes.spec.shape
        let fits = shape.count == 3 && shape[1] == anchors.count && shape[2] >= 8 && shape[2] % 2 == 0
        guard fits, scores.spec.count == anchors.count else {
            throw ContractError(
                "boxes \(shape) and \(scores.spec.count) scores do not fit the \(anchors.count) anchors of the strides "
                    + "and anchors_per_cell in postprocess.settings"
            )
        }
    }

    /// Turn boxes and scores into people in picture pixels, overlapping ones merged.
    public func decode(_ outputs: [String: [Float]], _ frame: Frame) throws -> Detections {
        let raw = try boxes.of(outputs)
        let logits = try scores.of(outputs)
        var found: [Detection] = []
        for index in anchors.indices {
            let score = sigmoid(logits[index])
            if score >= scoreThreshold {
                found.append(detection(raw, index, score))
            }
        }
        let merged = weightedSuppression(found, iouThreshold: iouThreshold)
        return Detections(items: merged.map { intoPicture($0, frame) })
    }

    /// Return one raw box, cx, cy, w, h and keypoints as offsets from its anchor in units of 1 / scale, in 0…1.
    private func detection(_ raw: [Float], _ index: Int, _ score: Double) -> Detection {
        let size = boxes.spec.shape[2]
        let anchor = anchors[index]
        let values = raw[(index * size)..<((index + 1) * size)].map { Double($0) / scale }
        let x = values[0] + anchor.x
        let y = values[1] + anchor.y
        let halfWidth = values[2] / 2
        let halfHeight = values[3] / 2
        let keypoints = stride(from: 4, to: size, by: 2).map {
            Point(x: values[$0] + anchor.x, y: values[$0 + 1] + anchor.y)
        }
        let box = Box(x0: x - halfWidth, y0: y - halfHeight, x1: x + halfWidth, y1: y + halfHeight)
        return Detection(score: score, box: box, keypoints: keypoints)
    }

    private func intoPicture(_ item: Detection, _ frame: Frame) -> Detection {
        let upper = intoPicture(Point(x: item.box.x0, y: item.box.y0), frame)
        let lower = intoPicture(Point(x: item.box.x1, y: item.box.y1), frame)
        return Detection(
            score: item.score,
            box: Box(x0: upper.x, y0: upper.y, x1: lower.x, y1: lower.y),
            keypoints: item.keypoints.map { intoPicture($0, frame) }
        )
    }

    private func intoPicture(_ point: Point, _ frame: Frame) -> Point {
        let x = point.x * Double(frame.tensorSize.width)
        let y = point.y * Double(frame.tensorSize.height)
        return Point(x: frame.matrix.mapX(x, y), y: frame.matrix.mapY(x, y))
    }
}
