/// A plane of values within a tensor: value (x, y) at offset + y · rowStep + x · columnStep.
public struct PlaneView: Equatable, Sendable {
    public let width: Int
    public let height: Int
    public let offset: Int
    public let rowStep: Int
    public let columnStep: Int

    public init(width: Int, height: Int, offset: Int, rowStep: Int, columnStep: Int) {
        self.width = width
        self.height = height
        self.offset = offset
        self.rowStep = rowStep
        self.columnStep = columnStep
    }
}

/// Sample planes of values bilinearly, in floats and with the edge repeated outside, row after row of the picture.
///
/// One map serves many planes of one size; `row` writes one row of the picture of one plane.
public struct PlaneWarp {
    private let matrix: Affine
    private let planeSize: SizeHw
    private let width: Int
    private var columns: [Between] = []
    private var line: [Float] = []

    /// Take the map from picture pixels to those of planes of a size, for a picture `width` pixels wide.
    public init(_ map: Affine, planeSize: SizeHw, width: Int) {
        matrix = map
        self.planeSize = planeSize
        self.width = width
        guard map.isSeparable else { return }
        columns = (0..<width).map { Between(map.xx * Double($0) + map.x0, size: planeSize.width) }
        line = Array(repeating: 0, count: planeSize.width)
    }

    /// Write row `y` of the picture, `width` values of a plane, from `at` on.
    public mutating func row(
        _ values: UnsafeBufferPointer<Float>, _ view: PlaneView, y: Int, into target: inout [Float], at: Int
    ) {
        if matrix.isSeparable {
            separableRow(values, view, y: y, into: &target, at: at)
        } else {
            turnedRow(values, view, y: y, into: &target, at: at)
        }
    }

    /// Take one axis after the other, which is far cheaper.
    private mutating func separableRow(
        _ values: UnsafeBufferPointer<Float>, _ view: PlaneView, y: Int, into target: inout [Float], at: Int
    ) {
        let rows = Between(matrix.yy * Double(y) + matrix.y0, size: planeSize.height)
        let upper = view.offset + rows.low * view.rowStep
        let lower = view.offset + rows.high * view.rowStep
        for x in 0..<planeSize.width {
            let column = x * view.columnStep
            line[x] = values[upper + column] * (1 - rows.weight) + values[lower + column] * rows.weight
        }
        for x in 0..<width {
            let column = columns[x]
            target[at + x] = line[column.low] * (1 - column.weight) + line[column.high] * column.weight
        }
    }

    private func turnedRow(
        _ values: UnsafeBufferPointer<Float>, _ view: PlaneView, y: Int, into target: inout [Float], at: Int
    ) {
        let yOfX = matrix.xy * Double(y)
        let yOfY = matrix.yy * Double(y)
        for x in 0..<width {
            let column = Between(matrix.xx * Double(x) + yOfX + matrix.x0, size: planeSize.width)
            let row = Between(matrix.yx * Double(x) + yOfY + matrix.y0, size: planeSize.height)
            let left = column.low * view.columnStep
            let right = column.high * view.columnStep
            let above = view.offset + row.low * view.rowStep
            let below = view.offset + row.high * view.rowStep
            let upper = values[above + left] * (1 - column.weight) + values[above + right] * column.weight
            let lower = values[below + left] * (1 - column.weight) + values[below + right] * column.weight
            target[at + x] = upper * (1 - row.weight) + lower * row.weight
        }
    }
}

/// A position between two neighbours of an axis, the edge repeated outside, and the upper one's weight.
private struct Between {
    let low: Int
    let high: Int
    let weight: Float

    init(_ position: Double, size: Int) {
        let inside = min(max(0, position), Double(size) - 1)  // in this order NaN becomes 0
        low = Int(inside)  // it is not negative: this is the floor
        high = min(low + 1, size - 1)
        weight = Float(inside - Double(low))
    }
}

/// Return the index of the value nearest to a position, within 0 until `size`.
func nearest(_ position: Double, size: Int) -> Int {
    Int(min(max(0, (position + 0.5).rounded(.down)), Double(size) - 1))
}
