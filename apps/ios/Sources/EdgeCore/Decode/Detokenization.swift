/// Turn tokens into a picture; the decoder `picture` takes the first output's three planes of 0…1 as RGB.
public struct DetokenizationTask: Sendable {
    private let output: Output
    private let planes: [PlaneView]

    /// Throw ContractError for another decoder, or an output that has not three planes.
    public init(_ contract: Contract) throws {
        guard let first = contract.outputs.first, contract.postprocess?.decoder == "picture" else {
            throw ContractError("detokenization needs an output and the decoder picture")
        }
        output = try Output(contract, first.name)
        planes = try output.planes()
        guard planes.count == 3 else {
            throw ContractError("\(first.name): a picture has 3 planes, not \(planes.count)")
        }
    }

    /// Round the planes to 8 bits.
    public func decode(_ outputs: [String: [Float]]) throws -> Picture {
        let values = try output.of(outputs)
        let size = SizeHw(height: planes[0].height, width: planes[0].width)
        var rgb: [UInt8] = []
        rgb.reserveCapacity(3 * size.count)
        for y in 0..<size.height {
            for x in 0..<size.width {
                for view in planes {
                    rgb.append(level(values[view.offset + y * view.rowStep + x * view.columnStep]))
                }
            }
        }
        return try Picture(width: size.width, height: size.height, rgb: rgb)
    }

    private func level(_ value: Float) -> UInt8 {
        let inside = min(max(0, value), 1)  // in this order NaN becomes 0
        return UInt8((inside * 255).rounded(.toNearestOrEven))
    }
}
