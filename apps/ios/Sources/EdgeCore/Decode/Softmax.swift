import Foundation

/// Return the values with a softmax over the planes at every pixel, laid out as they were.
func softmax(_ values: [Float], _ planes: [PlaneView]) -> [Float] {
    var shares = values
    guard let first = planes.first else { return shares }
    for y in 0..<first.height {
        for x in 0..<first.width {
            let at = y * first.rowStep + x * first.columnStep
            var top = -Float.infinity
            for plane in planes {
                top = max(top, values[at + plane.offset])
            }
            var sum: Float = 0
            for plane in planes {
                let power = exp(values[at + plane.offset] - top)
                shares[at + plane.offset] = power
                sum += power
            }
            for plane in planes {
                shares[at + plane.offset] /= sum
            }
        }
    }
    return shares
}
