/// Turn pictures into a contract's first input; make one and keep it, for its buffers are kept too.
///
/// Sampling is bilinear: positions are rounded to 1/32 pixel and results to 8 bits, all in integers, which is the same
/// for every implementation. Not thread-safe.
public final class Preprocessor {
    public let spec: TensorSpec
    public let rule: Preprocess
    private let tables: [[Float]]  // of each channel of the tensor: the value of every 8-bit pixel
    private var columns: [Sample]
    private var rows: [Sample]

    /// Throw ContractError for a contract without preprocessing, or whose first input is no colour picture.
    public init(_ contract: Contract) throws {
        let spec = contract.inputs[0]
        guard let rule = contract.preprocess, spec.channels == 3, spec.shape[0] == 1, spec.size == rule.size else {
            throw ContractError("\(spec.name): a picture needs a contract with preprocess and an input of 3 planes")
        }
        self.spec = spec
        self.rule = rule
        tables = (0..<3).map { table(rule, spec.dtype, channel: $0) }
        columns = Array(repeating: Sample(), count: rule.size.width)
        rows = Array(repeating: Sample(), count: rule.size.width)
    }

    /// Fill `values`, the tensor row-major, from a picture or a region of it, and return how the two lie.
    ///
    /// What a letterbox leaves is black, what a corner leaves is grey; outside the picture a region repeats its edge.
    /// Allocates nothing. Throws ContractError for pixels or a buffer that are not whole.
    public func run(_ pixels: Pixels, region: Region? = nil, into values: inout [Float]) throws -> Frame {
        guard pixels.isWhole else {
            throw ContractError("a picture of \(pixels.width) × \(pixels.height) has \(pixels.bytes.count) bytes")
        }
        guard values.count == spec.count else {
            throw ContractError("\(spec.name) takes \(spec.count) values; the buffer has \(values.count)")
        }
        let frame: Frame
        if let region {
            frame = Frame.cut(region, from: pixels.size, rule.size)
        } else {
            frame = Frame.whole(pixels.size, rule.size, resize: rule.resize)
        }
        let border = region == nil ? outside(rule.resize) : nil
        values.withUnsafeMutableBufferPointer { fill($0, from: pixels, frame.matrix, border: border) }
        return frame
    }

    private func fill(
        _ values: UnsafeMutableBufferPointer<Float>, from pixels: Pixels, _ matrix: Affine, border: Int?
    ) {
        let width = rule.size.width
        let isPlanar = spec.layout == .nchw
        let pixelStep = isPlanar ? 1 : 3
        let planeStep = isPlanar ? rule.size.count : 1
        let isBgr = rule.colour == .bgr
        let first = isBgr ? pixels.layout.blue : pixels.layout.red
        let last = isBgr ? pixels.layout.red : pixels.layout.blue
        for y in 0..<rule.size.height {
            place(matrix, y: y, in: pixels)
            for x in 0..<width {
                let at = (y * width + x) * pixelStep
                let inner = sample(pixels, x, border: border)
                values[at] = tables[0][inner.value(first)]
                values[at + planeStep] = tables[1][inner.value(pixels.layout.green)]
                values[at + 2 * planeStep] = tables[2][inner.value(last)]
            }
        }
    }

    /// Find where a row of the tensor lies in the picture.
    private func place(_ matrix: Affine, y: Int, in pixels: Pixels) {
        let yOfX = matrix.xy * Double(y)
        let yOfY = matrix.yy * Double(y)
        for x in 0..<rule.size.width {
            columns[x] = Sample(matrix.xx * Double(x) + yOfX + matrix.x0, size: pixels.width)
            rows[x] = Sample(matrix.yx * Double(x) + yOfY + matrix.y0, size: pixels.height)
        }
    }

    private func sample(_ pixels: Pixels, _ x: Int, border: Int?) -> Bilinear {
        let column = columns[x]
        let row = rows[x]
        return Bilinear(pixels, column: column, row: row, border: border)
    }
}

/// Turn one picture into a contract's first input and return how the two lie.
///
/// For single pictures; who has a stream of them keeps a `Preprocessor`.
public func preprocess(
    _ picture: Picture, _ contract: Contract, region: Region? = nil, into values: inout [Float]
) throws -> Frame {
    let preprocessor = try Preprocessor(contract)
    return try picture.withPixels { try preprocessor.run($0, region: region, into: &values) }
}

private let bits = 5
private let one = 1 << bits  // a position is held in units of 1/32 pixel

/// A position along one axis: the lower neighbour, and the upper one's weight of 32.
private struct Sample {
    var low = 0
    var weight = 0

    init() {}

    /// Round to 1/32 pixel; what lies far outside is brought just outside, so that it fits the integers.
    init(_ position: Double, size: Int) {
        let bounded = min(max(-2, position), Double(size) + 1)  // in this order NaN becomes −2
        let fixed = Int((bounded * Double(one)).rounded(.toNearestOrEven))
        low = fixed >> bits
        weight = fixed & (one - 1)
    }
}

/// The four neighbours of a position, and their weights of 1024.
private struct Bilinear {
    private let bytes: UnsafeBufferPointer<UInt8>
    private let upperLeft: Int
    private let upperRight: Int
    private let lowerLeft: Int
    private let lowerRight: Int
    private let weights: (Int, Int, Int, Int)
    private let outside: Int  // what the neighbours outside the picture add up to

    init(_ pixels: Pixels, column: Sample, row: Sample, border: Int?) {
        bytes = pixels.bytes
        let lastX = pixels.width - 1
        let lastY = pixels.height - 1
        let left = min(max(column.low, 0), lastX) * pixels.layout.bytes
        let right = min(max(column.low + 1, 0), lastX) * pixels.layout.bytes
        let upper = min(max(row.low, 0), lastY) * pixels.rowBytes
        let lower = min(max(row.low + 1, 0), lastY) * pixels.rowBytes
        upperLeft = upper + left
        upperRight = upper + right
        lowerLeft = lower + left
        lowerRight = lower + right
        let weightX = column.weight
        let weightY = row.weight
        var a = (one - weightX) * (one - weightY)
        var b = weightX * (one - weightY)
        var c = (one - weightX) * weightY
        var d = weightX * weightY
        var missing = 0
        if let border {
            let isLeft = column.low >= 0 && column.low <= lastX
            let isRight = column.low + 1 >= 0 && column.low + 1 <= lastX
            let isUpper = row.low >= 0 && row.low <= lastY
            let isLower = row.low + 1 >= 0 && row.low + 1 <= lastY
            if !(isLeft && isUpper) { (missing, a) = (missing + a, 0) }
            if !(isRight && isUpper) { (missing, b) = (missing + b, 0) }
            if !(isLeft && isLower) { (missing, c) = (missing + c, 0) }
            if !(isRight && isLower) { (missing, d) = (missing + d, 0) }
            missing *= border
        }
        weights = (a, b, c, d)
        outside = missing
    }

    /// Return the 8-bit value of the channel at an offset within a pixel, rounded to nearest.
    func value(_ channel: Int) -> Int {
        let upper = Int(bytes[upperLeft + channel]) * weights.0 + Int(bytes[upperRight + channel]) * weights.1
        let lower = Int(bytes[lowerLeft + channel]) * weights.2 + Int(bytes[lowerRight + channel]) * weights.3
        return (upper + lower + outside + one * one / 2) >> (2 * bits)
    }
}

private func outside(_ resize: Preprocess.Resize) -> Int? {
    switch resize {
    case .stretch: return nil
    case .letterbox: return 0
    case .corner: return 128
    }
}

/// Return the value of every 8-bit pixel in a channel, in the arithmetic of the reference: factors in 32 bits.
private func table(_ rule: Preprocess, _ dtype: DType, channel: Int) -> [Float] {
    let scale = Float((rule.high - rule.low) / 255 / rule.std[channel])
    let offset = Float((rule.low - rule.mean[channel]) / rule.std[channel])
    return (0..<256).map { pixel in
        let value = Float(pixel) * scale + offset
        if dtype.isFloat { return value }
        let whole = value.rounded(.toNearestOrEven)
        guard let limits = dtype.limits else { return whole }
        return min(max(whole, Float(limits.lowerBound)), Float(limits.upperBound))
    }
}
