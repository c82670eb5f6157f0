private let mostPixels = 25_000_000

/// Hold a picture of 8 bits: `rgb` has height · width · 3 bytes, rows from the top, red first.
public struct Picture: Equatable, Sendable {
    public let width: Int
    public let height: Int
    public let rgb: [UInt8]

    /// Throw ContractError for bytes that are not those of the size, and above 25 megapixels.
    public init(width: Int, height: Int, rgb: [UInt8]) throws {
        guard width > 0, height > 0, width <= mostPixels, height <= mostPixels / width else {
            throw ContractError(
                "a picture of \(width) × \(height); its sides are positive, its pixels at most \(mostPixels)"
            )
        }
        guard rgb.count == width * height * 3 else {
            throw ContractError(
                "a picture of \(width) × \(height) has \(width * height * 3) bytes of RGB; \(rgb.count) were given"
            )
        }
        self.width = width
        self.height = height
        self.rgb = rgb
    }

    public var size: SizeHw { SizeHw(height: height, width: width) }

    /// Call a function with the picture's pixels where they lie.
    public func withPixels<T>(_ body: (Pixels) throws -> T) rethrows -> T {
        try rgb.withUnsafeBufferPointer { bytes in
            try body(Pixels(bytes: bytes, width: width, height: height, rowBytes: width * 3, layout: .rgb))
        }
    }
}

/// Where red, green and blue stand in a pixel of some bytes.
public struct PixelLayout: Equatable, Sendable {
    public let bytes: Int
    public let red: Int
    public let green: Int
    public let blue: Int

    public static let rgb = PixelLayout(bytes: 3, red: 0, green: 1, blue: 2)
    public static let bgra = PixelLayout(bytes: 4, red: 2, green: 1, blue: 0)  // a camera's
}

/// Pixels in somebody else's memory, such as a camera's buffer; valid only while that memory is.
public struct Pixels {
    public let bytes: UnsafeBufferPointer<UInt8>
    public let width: Int
    public let height: Int
    public let rowBytes: Int
    public let layout: PixelLayout

    public init(bytes: UnsafeBufferPointer<UInt8>, width: Int, height: Int, rowBytes: Int, layout: PixelLayout) {
        self.bytes = bytes
        self.width = width
        self.height = height
        self.rowBytes = rowBytes
        self.layout = layout
    }

    public var size: SizeHw { SizeHw(height: height, width: width) }

    /// Say whether the buffer holds all the pixels that the sizes promise.
    var isWhole: Bool {
        width > 0 && height > 0 && width <= mostPixels && height <= mostPixels / width
            && rowBytes >= width * layout.bytes && bytes.count >= (height - 1) * rowBytes + width * layout.bytes
    }
}
