import CoreML
import EdgeCore
import Foundation

/// Runs a Core ML package; the system compiles it on its first use and chooses among CPU, GPU and Neural Engine.
final class CoreMLEngine: Engine {
    private let compiled: URL
    private let model: MLModel
    private let contract: Contract
    private let inputs: [(spec: TensorSpec, array: MLMultiArray)]

    /// Throw EngineUnsupported for an artifact without a package, and what Core ML throws.
    init(_ candidate: Candidate) throws {
        guard let name = candidate.manifest.file(suffix: ".mlpackage") else {
            throw EngineUnsupported("\(candidate.name) has no .mlpackage; deploy it again for the target coreml")
        }
        let package = candidate.folder.appendingPathComponent(name)
        compiled = try MLModel.compileModel(at: package)
        let configuration = MLModelConfiguration()
        configuration.computeUnits = .all
        model = try MLModel(contentsOf: compiled, configuration: configuration)
        contract = candidate.manifest.contract
        inputs = try contract.inputs.map { spec in
            let shape = spec.shape.map { NSNumber(value: $0) }
            return (spec, try MLMultiArray(shape: shape, dataType: dataType(spec)))
        }
    }

    deinit {
        try? FileManager.default.removeItem(at: compiled)
    }

    func run(_ given: [String: [Float]]) throws -> [String: [Float]] {
        var features: [String: MLFeatureValue] = [:]
        for (spec, array) in inputs {
            guard let values = given[spec.name], values.count == array.count else {
                throw ContractError("input \(spec.name) takes \(array.count) values")
            }
            try fill(array, values, spec)
            features[spec.name] = MLFeatureValue(multiArray: array)
        }
        let answer = try model.prediction(from: try MLDictionaryFeatureProvider(dictionary: features))
        var found: [String: [Float]] = [:]
        for spec in contract.outputs {
            guard let array = answer.featureValue(for: spec.name)?.multiArrayValue else {
                throw ContractError("the model returned no output '\(spec.name)'")
            }
            found[spec.name] = try values(array, spec)
        }
        return found
    }

    private func fill(_ array: MLMultiArray, _ values: [Float], _ spec: TensorSpec) throws {
        switch array.dataType {
        case .float32:
            array.withUnsafeMutableBufferPointer(ofType: Float.self) { target, _ in
                for index in values.indices { target[index] = values[index] }
            }
        case .int32:
            array.withUnsafeMutableBufferPointer(ofType: Int32.self) { target, _ in
                for index in values.indices { target[index] = Int32(values[index]) }
            }
        default:
            throw ContractError("input \(spec.name): the type \(spec.dtype.rawValue) is not fed by this app")
        }
    }
}

private func dataType(_ spec: TensorSpec) -> MLMultiArrayDataType {
    spec.dtype.isFloat ? .float32 : .int32  // Core ML converts a float to what the model declares
}

/// Return an output's values row-major, whatever its type and strides; throws ContractError for another shape.
private func values(_ array: MLMultiArray, _ spec: TensorSpec) throws -> [Float] {
    guard array.shape.map({ $0.intValue }) == spec.shape else {
        throw ContractError("\(spec.name) is \(array.shape); its contract says \(spec.shape)")
    }
    let offsets = rowMajorOffsets(spec.shape, array.strides.map { $0.intValue })
    switch array.dataType {
    case .float32:
        return array.withUnsafeBufferPointer(ofType: Float.self) { source in offsets.map { source[$0] } }
    case .float64:
        return array.withUnsafeBufferPointer(ofType: Double.self) { source in offsets.map { Float(source[$0]) } }
    case .int32:
        return array.withUnsafeBufferPointer(ofType: Int32.self) { source in offsets.map { Float(source[$0]) } }
    #if arch(arm64)
    case .float16:
        return array.withUnsafeBufferPointer(ofType: Float16.self) { source in offsets.map { Float(source[$0]) } }
    #endif
    default:
        return (0..<array.count).map { array[$0].floatValue }  // slow, but of every type
    }
}

/// Return where the elements lie, in row-major order.
private func rowMajorOffsets(_ shape: [Int], _ strides: [Int]) -> [Int] {
    var offsets = [0]
    for (size, stride) in zip(shape, strides) {
        offsets = offsets.flatMap { offset in (0..<size).map { offset + $0 * stride } }
    }
    return offsets
}
