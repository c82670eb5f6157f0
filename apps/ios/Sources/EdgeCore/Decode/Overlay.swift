private let channels = 3

/// The colour of a mask with one class, 0xRRGGBB.
public let FOREGROUND: UInt32 = 0xff5286

/// Return one colour 0xRRGGBB a class: PASCAL VOC's, whose colour bits are the class's bits interleaved.
///
/// Class 0 is black: the background. Source: the VOC development kit's colour map.
public func palette(_ classes: Int) -> [UInt32] {
    (0..<classes).map { index in
        var value = UInt32(index)
        var colour: UInt32 = 0
        for bit in (0..<UInt32(8)).reversed() {
            for channel in 0..<channels {
                let set = (value >> UInt32(channel)) & 1
                colour |= (set << bit) << UInt32(8 * (channels - 1 - channel))
            }
            value >>= 3
        }
        return colour
    }
}

/// Colour class or segment maps: number 0 is transparent, others are their palette colour at `strength`.
public struct ClassLayer: Sendable {
    private let colours: [UInt32]

    public init(classes: Int = 256, strength: Double = 0.5) {
        var found = palette(max(classes, 2))
        for number in found.indices.dropFirst() {
            found[number] = argb(found[number], strength)
        }
        colours = found
    }

    /// Write ARGB, not premultiplied, of class numbers; numbers beyond the palette begin it anew, but are not clear.
    public func draw<Number: UnsignedInteger & FixedWidthInteger>(
        _ numbers: [Number], into pixels: inout [UInt32]
    ) throws {
        try checkSizes(numbers.count, pixels.count)
        for (index, number) in numbers.enumerated() {
            let place = Int(clamping: number)
            pixels[index] = place < colours.count ? colours[place] : colours[1 + (place - 1) % (colours.count - 1)]
        }
    }
}

/// Colour a mask's probability: transparent up to ¼, at its full strength from ¾ on, a soft step between.
public struct MaskLayer: Sendable {
    private let colours: [UInt32]

    public init(rgb: UInt32 = FOREGROUND, strength: Double = 0.38) {
        colours = (0..<256).map { level in
            let inside = min(max((Double(level) / 255 - 0.25) * 2, 0), 1)
            return argb(rgb, strength * inside)
        }
    }

    /// Write ARGB, not premultiplied, of probabilities in 0…1; the probability counts in steps of 1/255.
    public func draw(_ probability: [Float], into pixels: inout [UInt32]) throws {
        try checkSizes(probability.count, pixels.count)
        for (index, value) in probability.enumerated() {
            let clipped = min(max(0, value), 1)  // in this order NaN becomes 0
            pixels[index] = colours[Int(clipped * 255 + 0.5)]
        }
    }
}

private func argb(_ rgb: UInt32, _ strength: Double) -> UInt32 {
    let alpha = UInt32((255 * min(max(strength, 0), 1)).rounded(.toNearestOrEven))
    return alpha << 24 | rgb
}

private func checkSizes(_ values: Int, _ pixels: Int) throws {
    guard values <= pixels else { throw ContractError("\(values) values do not fit the layer of \(pixels) pixels") }
}
