import Foundation

/// One output of a contract, read by its name.
struct Output: Sendable {
    let spec: TensorSpec

    /// Throw ContractError naming the outputs there are.
    init(_ contract: Contract, _ name: String) throws {
        spec = try contract.output(name)
    }

    /// Return the output's values; throws ContractError where it is missing or has another size.
    func of(_ outputs: [String: [Float]]) throws -> [Float] {
        guard let found = outputs[spec.name] else { throw ContractError("the model returned no output '\(spec.name)'") }
        guard found.count == spec.count else {
            throw ContractError("\(spec.name) has \(found.count) values; its shape \(spec.shape) takes \(spec.count)")
        }
        return found
    }

    /// Return where the planes of an image-like output of batch 1 stand, whatever its layout.
    func planes() throws -> [PlaneView] {
        let shape = spec.shape
        switch spec.layout {
        case .nchw:
            let (height, width) = (shape[2], shape[3])
            return (0..<shape[1]).map {
                PlaneView(width: width, height: height, offset: $0 * height * width, rowStep: width, columnStep: 1)
            }
        case .nhwc:
            let (height, width, planes) = (shape[1], shape[2], shape[3])
            return (0..<planes).map {
                PlaneView(width: width, height: height, offset: $0, rowStep: width * planes, columnStep: planes)
            }
        case .plain:
            throw ContractError("\(spec.name): shape \(shape) needs a layout, NCHW or NHWC")
        }
    }
}

/// Return 1 / (1 + e^−x), with x clipped to ±100; what is not a number stays so.
func sigmoid(_ value: Float) -> Double {
    guard !value.isNaN else { return Double.nan }
    return 1 / (1 + exp(-min(max(Double(value), -100), 100)))
}

extension Contract {
    /// Return a decoder's setting that is a number, or `fallback`.
    func setting(_ name: String, default fallback: Double) throws -> Double {
        try postprocess?.number(name, default: fallback) ?? fallback
    }

    /// Return a decoder's setting that is a list of whole numbers from 1, or `fallback`.
    func wholeSettings(_ name: String, default fallback: [Int]) throws -> [Int] {
        let standard = fallback.map { Double($0) }
        let found = try postprocess?.numbers(name, default: standard) ?? standard
        guard found.allSatisfy({ $0 >= 1 && $0 < 65_536 }) else {
            throw ContractError("postprocess.settings.\(name) is \(found); it must be whole numbers from 1")
        }
        return found.map { Int($0) }
    }
}
