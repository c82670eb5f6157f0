import Foundation

/// A rotated square in a picture: centre and side in pixels, rotation in radians, clockwise from upright.
public struct Region: Equatable, Sendable {
    public let centreX: Double
    public let centreY: Double
    public let side: Double
    public let rotation: Double

    public init(centreX: Double, centreY: Double, side: Double, rotation: Double = 0) {
        self.centreX = centreX
        self.centreY = centreY
        self.side = side
        self.rotation = rotation
    }
}

/// Map points: x' = xx · x + xy · y + x0, y' = yx · x + yy · y + y0.
public struct Affine: Equatable, Sendable {
    public let xx: Double
    public let xy: Double
    public let x0: Double
    public let yx: Double
    public let yy: Double
    public let y0: Double

    public init(xx: Double, xy: Double, x0: Double, yx: Double, yy: Double, y0: Double) {
        self.xx = xx
        self.xy = xy
        self.x0 = x0
        self.yx = yx
        self.yy = yy
        self.y0 = y0
    }

    /// Say whether each axis is mapped on its own.
    public var isSeparable: Bool { xy == 0 && yx == 0 }

    public func mapX(_ x: Double, _ y: Double) -> Double { xx * x + xy * y + x0 }

    public func mapY(_ x: Double, _ y: Double) -> Double { yx * x + yy * y + y0 }

    /// Return the opposite map.
    public func inverse() -> Affine {
        if isSeparable {
            // One division an axis, as the reference rounds it: where the nearest value changes, the last bit counts.
            let x = 1 / xx
            let y = 1 / yy
            return Affine(xx: x, xy: 0, x0: -x * x0, yx: 0, yy: y, y0: -y * y0)
        }
        let scale = 1 / (xx * yy - xy * yx)
        let a = yy * scale
        let b = -xy * scale
        let c = -yx * scale
        let d = xx * scale
        return Affine(xx: a, xy: b, x0: -(a * x0 + b * y0), yx: c, yy: d, y0: -(c * x0 + d * y0))
    }

    /// Multiply what the map returns: x' by `x`, y' by `y`.
    public func scaled(x: Double, y: Double) -> Affine {
        Affine(xx: xx * x, xy: xy * x, x0: x0 * x, yx: yx * y, yy: yy * y, y0: y0 * y)
    }

    /// Add to what the map returns.
    public func shifted(x: Double, y: Double) -> Affine {
        Affine(xx: xx, xy: xy, x0: x0 + x, yx: yx, yy: yy, y0: y0 + y)
    }
}

/// Tie an input tensor's pixels to the picture's: `matrix` maps tensor pixel centres to picture pixel centres.
public struct Frame: Equatable, Sendable {
    public let imageSize: SizeHw
    public let tensorSize: SizeHw
    public let matrix: Affine
    public let region: Region?

    public init(imageSize: SizeHw, tensorSize: SizeHw, matrix: Affine, region: Region? = nil) {
        self.imageSize = imageSize
        self.tensorSize = tensorSize
        self.matrix = matrix
        self.region = region
    }

    /// Return the frame of a picture that fills the tensor as `resize` says.
    public static func whole(_ imageSize: SizeHw, _ tensorSize: SizeHw, resize: Preprocess.Resize) -> Frame {
        let scaleX = Double(imageSize.width) / Double(tensorSize.width)
        let scaleY = Double(imageSize.height) / Double(tensorSize.height)
        let scale = max(scaleY, scaleX)
        let matrix: Affine
        switch resize {
        case .stretch:
            matrix = Affine(xx: scaleX, xy: 0, x0: 0, yx: 0, yy: scaleY, y0: 0)
        case .letterbox:
            let shiftX = (Double(imageSize.width) - scale * Double(tensorSize.width)) / 2
            let shiftY = (Double(imageSize.height) - scale * Double(tensorSize.height)) / 2
            matrix = Affine(xx: scale, xy: 0, x0: shiftX, yx: 0, yy: scale, y0: shiftY)
        case .corner:
            matrix = Affine(xx: scale, xy: 0, x0: 0, yx: 0, yy: scale, y0: 0)
        }
        return Frame(imageSize: imageSize, tensorSize: tensorSize, matrix: matrix)
    }

    /// Return the frame of a region whose square fills the tensor.
    public static func cut(_ region: Region, from imageSize: SizeHw, _ tensorSize: SizeHw) -> Frame {
        let cosine = cos(region.rotation)
        let sine = sin(region.rotation)
        let side = region.side
        let scaleX = side / Double(tensorSize.width)
        let scaleY = side / Double(tensorSize.height)
        let shiftX = region.centreX - (cosine * side - sine * side) / 2
        let shiftY = region.centreY - (sine * side + cosine * side) / 2
        let matrix = Affine(
            xx: cosine * scaleX, xy: -sine * scaleY, x0: shiftX, yx: sine * scaleX, yy: cosine * scaleY, y0: shiftY
        )
        return Frame(imageSize: imageSize, tensorSize: tensorSize, matrix: matrix, region: region)
    }
}
