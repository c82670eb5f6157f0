import Foundation

/// One thing, or all regions of one kind of stuff; `area` in pixels of the picture, `score` in 0…1.
public struct Segment: Equatable, Sendable {
    public let id: Int
    public let category: Int
    public let label: String
    public let isThing: Bool
    public let score: Double
    public let area: Int
}

/// A picture in segments: `ids` (height · width) holds each pixel's segment, 0 where there is none.
public struct Panoptic: Equatable, Sendable {
    public let size: SizeHw
    public let ids: [UInt16]
    public let segments: [Segment]
}

/// Segment a picture by queries: `class_logits` (1, L, classes + 1), the last for nothing, and `mask_logits` of L
/// planes.
///
/// A picture that is larger than the model's input is merged at the input's size; its pixels take the nearest segment.
public struct PanopticTask: Sendable {
    private let labels: [String]
    private let rule: MaskWiseRule
    private let classes: Output
    private let masks: Output
    private let planes: [PlaneView]

    /// Throw ContractError for outputs or settings that do not fit.
    public init(_ contract: Contract) throws {
        rule = try MaskWiseRule(contract)
        labels = contract.labels
        classes = try Output(contract, "class_logits")
        masks = try Output(contract, "mask_logits")
        planes = try masks.planes()
        let shape = classes.spec.shape
        guard shape.count == 3, shape[2] == contract.labels.count + 1 else {
            throw ContractError(
                "class_logits: shape \(shape) is not (1, queries, \(contract.labels.count + 1)), a value for each of "
                    + "the contract's labels and one for nothing"
            )
        }
        guard planes.count == shape[1] else {
            throw ContractError("mask_logits has \(planes.count) planes for the \(shape[1]) queries of class_logits")
        }
    }

    /// Merge the masks at the picture's size.
    public func decode(_ outputs: [String: [Float]], _ frame: Frame) throws -> Panoptic {
        let size = mergedSize(frame)
        var confident = confidentQueries(try classes.of(outputs))
        if !confident.isEmpty {
            collectPixels(&confident, try masks.of(outputs), frame, size)
        }
        var ids = [UInt16](repeating: 0, count: size.count)
        let kept = giveAway(confident, rule, &ids)
        let whole = enlarged(ids, size, frame.imageSize)
        return Panoptic(size: frame.imageSize, ids: whole, segments: segments(whole, kept))
    }

    /// Return the size that masks are merged at: a picture whose longer side is at most the model's shows all of them.
    private func mergedSize(_ frame: Frame) -> SizeHw {
        let image = frame.imageSize
        let tensor = frame.tensorSize
        let scale = Double(max(tensor.height, tensor.width)) / Double(max(image.height, image.width))
        guard scale < 1 else { return image }
        let height = (Double(image.height) * scale).rounded(.toNearestOrEven)
        let width = (Double(image.width) * scale).rounded(.toNearestOrEven)
        return SizeHw(height: max(1, Int(height)), width: max(1, Int(width)))
    }

    /// Return the queries whose best class, but nothing, is sure enough.
    private func confidentQueries(_ logits: [Float]) -> [QueryMask] {
        let count = labels.count + 1
        guard count > 1 else { return [] }
        return planes.indices.compactMap { query -> QueryMask? in
            let row = logits[(query * count)..<((query + 1) * count)].map { Double($0) }
            let top = row.max() ?? 0
            var total = 0.0
            for value in row {
                total += exp(value - top)
            }
            var best = 0
            for category in 1..<max(count - 1, 1) where row[category] > row[best] {
                best = category
            }
            let share = exp(row[best] - top) / total
            return rule.counts(best, share) ? QueryMask(query: query, category: best, share: share) : nil
        }
    }

    /// Share every pixel out among all queries, and keep those of the confident ones that have enough of it.
    private func collectPixels(_ confident: inout [QueryMask], _ logits: [Float], _ frame: Frame, _ size: SizeHw) {
        let width = size.width
        var shares = [Float](repeating: 0, count: planes.count * width)
        let rowPlanes = planes.indices.map {
            PlaneView(width: width, height: 1, offset: $0 * width, rowStep: width, columnStep: 1)
        }
        let plane = planes[0]
        var warp = PlaneWarp(
            toMasks(frame, size), planeSize: SizeHw(height: plane.height, width: plane.width), width: width
        )
        for y in 0..<size.height {
            logits.withUnsafeBufferPointer { tensor in
                for (query, view) in planes.enumerated() {
                    warp.row(tensor, view, y: y, into: &shares, at: query * width)
                }
            }
            let row = softmax(shares, rowPlanes)
            for index in confident.indices {
                let begin = confident[index].query * width
                for x in 0..<width where row[begin + x] > rule.pixelConfidence {
                    confident[index].pixels.append(Int32(y * width + x))
                    confident[index].sum += Double(row[begin + x])
                }
            }
        }
    }

    /// Map the merged picture's pixels to the masks'.
    private func toMasks(_ frame: Frame, _ size: SizeHw) -> Affine {
        let merged = frame.matrix.scaled(
            x: Double(size.width) / Double(frame.imageSize.width),
            y: Double(size.height) / Double(frame.imageSize.height)
        )
        return merged.inverse().scaled(
            x: maskScale(frame.tensorSize.width, planes[0].width),
            y: maskScale(frame.tensorSize.height, planes[0].height)
        )
    }

    /// Return how many mask pixels an input pixel is wide or high; odd axes are aligned at their ends.
    private func maskScale(_ tensor: Int, _ mask: Int) -> Double {
        if tensor % 2 == 1 && tensor > 1 { return (Double(mask) - 1) / (Double(tensor) - 1) }
        return Double(mask) / Double(tensor)
    }

    private func enlarged(_ ids: [UInt16], _ size: SizeHw, _ image: SizeHw) -> [UInt16] {
        if size == image { return ids }
        let scaleX = Double(size.width) / Double(image.width)
        let scaleY = Double(size.height) / Double(image.height)
        let columns = (0..<image.width).map { nearest(scaleX * Double($0), size: size.width) }
        var whole: [UInt16] = []
        whole.reserveCapacity(image.count)
        for y in 0..<image.height {
            let row = nearest(scaleY * Double(y), size: size.height) * size.width
            for column in columns {
                whole.append(ids[row + column])
            }
        }
        return whole
    }

    private func segments(_ ids: [UInt16], _ kept: [KeptMask]) -> [Segment] {
        var areas = [Int](repeating: 0, count: kept.count + 1)
        for id in ids {
            areas[Int(id)] += 1
        }
        return kept.enumerated().map { index, mask in
            Segment(
                id: index + 1, category: mask.category, label: labels[mask.category],
                isThing: rule.isThing(mask.category), score: mask.score, area: areas[index + 1]
            )
        }
    }
}
