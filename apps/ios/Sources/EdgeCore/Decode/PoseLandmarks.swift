import Foundation

private let valuesOfPoint = 5  // x, y, z in tensor pixels, and logits of visibility and presence
private let axes = 3

/// Place 33 landmarks on one person.
///
/// Outputs `landmarks` (1, 5·N), N ≥ 33, `presence` (1, 1) probability, `world` (1, 3·N) metres, and if the model has
/// them `heatmap` (N planes of logits) and `mask` (1 plane of logits). Landmarks 33 and 34, where there are any, say
/// where to look in the next picture.
public struct PoseLandmarks: Sendable {
    private let landmarks: Output
    private let presence: Output
    private let world: Output
    private let heatmap: Output?
    private let mask: Output?
    private let count: Int

    /// Throw ContractError for outputs that are missing or too small.
    public init(_ contract: Contract) throws {
        let names = Set(contract.outputs.map(\.name))
        landmarks = try Output(contract, "landmarks")
        presence = try Output(contract, "presence")
        world = try Output(contract, "world")
        heatmap = try names.contains("heatmap") ? Output(contract, "heatmap") : nil
        mask = try names.contains("mask") ? Output(contract, "mask") : nil
        count = landmarks.spec.count / valuesOfPoint
        _ = try heatmap?.planes()
        _ = try mask?.planes()
        let isWhole = landmarks.spec.count % valuesOfPoint == 0 && count >= LANDMARK_NAMES.count
        guard isWhole, world.spec.count >= LANDMARK_NAMES.count * axes else {
            throw ContractError(
                "landmarks \(landmarks.spec.shape) and world \(world.spec.shape) do not hold "
                    + "\(LANDMARK_NAMES.count) points"
            )
        }
    }

    /// Return the region that is cut out of a picture where nobody was looked for before: the square around all of it.
    public static func wholeRegion(_ size: SizeHw) -> Region {
        Region(
            centreX: Double(size.width) / 2, centreY: Double(size.height) / 2,
            side: Double(max(size.height, size.width))
        )
    }

    /// Turn outputs into landmarks in picture pixels and metres, both upright in the picture; the mask if `withMask`.
    public func decode(_ outputs: [String: [Float]], _ frame: Frame, withMask: Bool = true) throws -> Pose {
        let raw = try landmarks.of(outputs)
        let places = try flat(raw, outputs, frame).map { intoPicture($0, frame) }
        let scale = hypot(frame.matrix.xx, frame.matrix.yx)  // picture pixels in a tensor pixel
        let body = LANDMARK_NAMES.indices
        return Pose(
            score: Double(try presence.of(outputs)[0]),
            points: body.map {
                Point3(x: places[$0].x, y: places[$0].y, z: Double(raw[$0 * valuesOfPoint + 2]) * scale)
            },
            visibility: body.map { sigmoid(raw[$0 * valuesOfPoint + 3]) },
            presence: body.map { sigmoid(raw[$0 * valuesOfPoint + 4]) },
            world: upright(try world.of(outputs), frame.matrix, scale: scale),
            region: frame.region,
            nextRegion: nextRegion(places),
            mask: try withMask ? wholeMask(outputs, frame) : nil
        )
    }

    /// Return all landmarks in 0…1 of the tensor, refined on their heatmaps.
    private func flat(_ raw: [Float], _ outputs: [String: [Float]], _ frame: Frame) throws -> [Point] {
        let points = (0..<count).map {
            Point(
                x: Double(raw[$0 * valuesOfPoint]) / Double(frame.tensorSize.width),
                y: Double(raw[$0 * valuesOfPoint + 1]) / Double(frame.tensorSize.height)
            )
        }
        guard let heatmap else { return points }
        let logits = try heatmap.of(outputs)
        let planes = try heatmap.planes()
        return points.enumerated().map { index, point in
            index < planes.count ? refineOnHeatmap(point, logits, planes[index]) : point
        }
    }

    private func intoPicture(_ point: Point, _ frame: Frame) -> Point {
        let x = point.x * Double(frame.tensorSize.width)
        let y = point.y * Double(frame.tensorSize.height)
        return Point(x: frame.matrix.mapX(x, y), y: frame.matrix.mapY(x, y))
    }

    private func upright(_ metres: [Float], _ matrix: Affine, scale: Double) -> [Point3] {
        LANDMARK_NAMES.indices.map { index in
            let x = Double(metres[index * axes])
            let y = Double(metres[index * axes + 1])
            return Point3(
                x: matrix.xx / scale * x + matrix.xy / scale * y,
                y: matrix.yx / scale * x + matrix.yy / scale * y,
                z: Double(metres[index * axes + 2])
            )
        }
    }

    /// Return the square that the two landmarks beyond the body's span, as the detector's keypoints do; nil without
    /// them.
    private func nextRegion(_ places: [Point]) -> Region? {
        let beyond = LANDMARK_NAMES.count
        return places.count < beyond + 2 ? nil : alignedRegion(places[beyond], places[beyond + 1])
    }

    /// Return the mask's probability over the whole picture, zero outside the region; nil where the model has none.
    private func wholeMask(_ outputs: [String: [Float]], _ frame: Frame) throws -> [Float]? {
        guard let mask, let view = try mask.planes().first else { return nil }
        let logits = try mask.of(outputs)
        let stride = view.width + 2  // what repeats outside the region is then zero
        var framed = [Float](repeating: 0, count: stride * (view.height + 2))
        for y in 0..<view.height {
            for x in 0..<view.width {
                let logit = logits[view.offset + y * view.rowStep + x * view.columnStep]
                framed[(y + 1) * stride + x + 1] = Float(sigmoid(logit))
            }
        }
        let size = frame.imageSize
        let whole = PlaneView(width: stride, height: view.height + 2, offset: 0, rowStep: stride, columnStep: 1)
        let map = frame.matrix.inverse().shifted(x: 1, y: 1)
        var warp = PlaneWarp(map, planeSize: SizeHw(height: whole.height, width: stride), width: size.width)
        var found = [Float](repeating: 0, count: size.count)
        framed.withUnsafeBufferPointer { values in
            for y in 0..<size.height {
                warp.row(values, whole, y: y, into: &found, at: y * size.width)
            }
        }
        return found
    }
}
