private let mostClasses = 256

/// A class map of a picture.
///
/// `classes` (height · width) holds class numbers; for one foreground class they are 0 and 1, and `probability`
/// (height · width) is what the model said. `labels` names the classes by number.
public struct Segmentation: Equatable, Sendable {
    public let size: SizeHw
    public let classes: [UInt8]
    public let labels: [String]
    public let probability: [Float]?

    /// Return the class's name, or its number where it has none.
    public func label(_ number: Int) -> String { labels.indices.contains(number) ? labels[number] : String(number) }
}

/// Segment a picture; the first output has one plane of probability, one plane of scores a class, or class numbers.
///
/// Decoders: `probability` (setting `threshold`, 0.5) and `logits` (softmax, resized, then the largest class) choose at
/// the picture's size. `argmax`, `threshold` and `labels` (class numbers as they are) choose at the model's size, and
/// every pixel takes the nearest choice. Without a stated decoder, integers are `labels`.
public struct SegmentationTask: Sendable {
    private enum Decoder: String, CaseIterable {
        case probability, logits, argmax, threshold, labels
    }

    private let output: Output
    private let decoder: Decoder
    private let threshold: Float
    private let planes: [PlaneView]
    private let labels: [String]

    /// Throw ContractError for an unknown decoder or an output that it cannot read.
    public init(_ contract: Contract) throws {
        guard let first = contract.outputs.first else {
            throw ContractError("segmentation needs a contract with outputs")
        }
        output = try Output(contract, first.name)
        decoder = try SegmentationTask.decoder(of: contract, first)
        threshold = Float(try contract.setting("threshold", default: 0.5))
        planes = try decoder == .labels ? [labelPlane(first)] : output.planes()
        guard planes.count <= mostClasses else {
            throw ContractError("\(planes.count) classes; at most \(mostClasses) are decoded")
        }
        let isOne = contract.labels.count == 1 && decoder != .logits
        labels = isOne ? ["background"] + contract.labels : contract.labels
    }

    /// Resize the planes to the picture and choose each pixel's class.
    public func decode(_ outputs: [String: [Float]], _ frame: Frame) throws -> Segmentation {
        let values = try output.of(outputs)
        let plane = planes[0]
        // Picture pixels to those of the planes, which may be smaller than the input tensor.
        let map = frame.matrix.inverse().scaled(
            x: Double(plane.width) / Double(frame.tensorSize.width),
            y: Double(plane.height) / Double(frame.tensorSize.height)
        )
        switch decoder {
        case .probability: return chosen(values, map, frame.imageSize)
        case .logits: return largest(values, map, frame.imageSize)
        case .argmax, .threshold, .labels: return try nearest(values, map, frame.imageSize)
        }
    }

    /// Return the decoder that the contract names, or the one that its first output's type and planes ask for.
    private static func decoder(of contract: Contract, _ spec: TensorSpec) throws -> Decoder {
        guard let rule = contract.postprocess else {
            if !spec.dtype.isFloat { return .labels }
            return spec.channels == 1 ? .probability : .logits
        }
        guard let found = Decoder(rawValue: rule.decoder) else {
            let known = Decoder.allCases.map(\.rawValue).joined(separator: ", ")
            throw ContractError("segmentation has no decoder '\(rule.decoder)'; it has \(known)")
        }
        return found
    }

    private func chosen(_ values: [Float], _ map: Affine, _ size: SizeHw) -> Segmentation {
        var probability = [Float](repeating: 0, count: size.count)
        let plane = planes[0]
        var warp = PlaneWarp(map, planeSize: SizeHw(height: plane.height, width: plane.width), width: size.width)
        values.withUnsafeBufferPointer { tensor in
            for y in 0..<size.height {
                warp.row(tensor, plane, y: y, into: &probability, at: y * size.width)
            }
        }
        let limit = threshold
        let classes = probability.map { UInt8($0 > limit ? 1 : 0) }
        return Segmentation(size: size, classes: classes, labels: labels, probability: probability)
    }

    /// Resize the planes' softmax one row at a time and take the largest; of equal ones the first.
    private func largest(_ values: [Float], _ map: Affine, _ size: SizeHw) -> Segmentation {
        let shares = softmax(values, planes)
        var classes = [UInt8](repeating: 0, count: size.count)
        var best = [Float](repeating: 0, count: size.width)
        var row = best
        let planeSize = SizeHw(height: planes[0].height, width: planes[0].width)
        var warp = PlaneWarp(map, planeSize: planeSize, width: size.width)
        shares.withUnsafeBufferPointer { tensor in
            for y in 0..<size.height {
                warp.row(tensor, planes[0], y: y, into: &best, at: 0)
                for number in 1..<max(planes.count, 1) {
                    warp.row(tensor, planes[number], y: y, into: &row, at: 0)
                    for x in 0..<size.width where row[x] > best[x] {
                        best[x] = row[x]
                        classes[y * size.width + x] = UInt8(number)
                    }
                }
            }
        }
        return Segmentation(size: size, classes: classes, labels: labels, probability: nil)
    }

    private func nearest(_ values: [Float], _ map: Affine, _ size: SizeHw) throws -> Segmentation {
        let plane = planes[0]
        var choices = [UInt8](repeating: 0, count: plane.width * plane.height)
        for y in 0..<plane.height {
            for x in 0..<plane.width {
                choices[y * plane.width + x] = try choice(values, at: y * plane.rowStep + x * plane.columnStep)
            }
        }
        var classes = [UInt8](repeating: 0, count: size.count)
        for y in 0..<size.height {
            for x in 0..<size.width {
                let column = EdgeCore.nearest(map.mapX(Double(x), Double(y)), size: plane.width)
                let row = EdgeCore.nearest(map.mapY(Double(x), Double(y)), size: plane.height)
                classes[y * size.width + x] = choices[row * plane.width + column]
            }
        }
        return Segmentation(size: size, classes: classes, labels: labels, probability: nil)
    }

    private func choice(_ values: [Float], at place: Int) throws -> UInt8 {
        switch decoder {
        case .threshold:
            return values[place + planes[0].offset] > threshold ? 1 : 0
        case .labels:
            let number = values[place]
            guard number >= 0, number < Float(mostClasses) else {
                throw ContractError("class \(number) is out of range; at most \(mostClasses) classes")
            }
            return UInt8(number)
        case .argmax, .logits, .probability:
            return argmax(values, at: place)
        }
    }

    /// Return the plane with the largest score, of equal ones the first; what is not a number is largest.
    private func argmax(_ values: [Float], at place: Int) -> UInt8 {
        var best = 0
        for number in planes.indices.dropFirst() {
            let value = values[place + planes[number].offset]
            let most = values[place + planes[best].offset]
            if value > most || (value.isNaN && !most.isNaN) { best = number }
        }
        return UInt8(best)
    }
}

/// Return the plane of class numbers: what is left of a shape without its sizes of 1.
private func labelPlane(_ spec: TensorSpec) throws -> PlaneView {
    var sizes = spec.shape[...]
    while sizes.count > 2, sizes.first == 1 || sizes.last == 1 {
        sizes = sizes.first == 1 ? sizes.dropFirst() : sizes.dropLast()
    }
    guard sizes.count == 2, let height = sizes.first, let width = sizes.last else {
        throw ContractError("\(spec.name): class numbers need shape (1, H, W), not \(spec.shape)")
    }
    return PlaneView(width: width, height: height, offset: 0, rowStep: width, columnStep: 1)
}
