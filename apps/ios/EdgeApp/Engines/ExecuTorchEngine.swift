#if canImport(ExecuTorch)
import EdgeCore
import ExecuTorch
import Foundation

/// Runs an ExecuTorch program over the backends that are linked into the app (XNNPACK, Core ML).
final class ExecuTorchEngine: Engine {
    private let module: ExecuTorch.Module
    private let contract: Contract

    /// Throw EngineUnsupported for an artifact without a program, and what the runtime throws.
    init(_ candidate: Candidate) throws {
        guard let name = candidate.manifest.file(suffix: ".pte") else {
            throw EngineUnsupported("\(candidate.name) has no .pte; deploy it again for executorch-xnnpack")
        }
        module = ExecuTorch.Module(filePath: candidate.folder.appendingPathComponent(name).path)
        contract = candidate.manifest.contract
        try module.load("forward")
    }

    func run(_ given: [String: [Float]]) throws -> [String: [Float]] {
        let inputs = try contract.inputs.map { spec -> ExecuTorch.Tensor<Float> in
            guard spec.dtype == .float32, let values = given[spec.name], values.count == spec.count else {
                throw ContractError("input \(spec.name) takes \(spec.count) values of float32")
            }
            return ExecuTorch.Tensor<Float>(values, shape: spec.shape)
        }
        let outputs: [Value] = try module.forward(inputs)
        guard outputs.count == contract.outputs.count else {
            throw ContractError("the model returned \(outputs.count) outputs, \(contract.outputs.count) were expected")
        }
        var found: [String: [Float]] = [:]
        for (spec, output) in zip(contract.outputs, outputs) {
            guard let tensor: ExecuTorch.Tensor<Float> = output.tensor() else {
                throw ContractError("\(spec.name) is no tensor of float32")
            }
            found[spec.name] = tensor.scalars()
        }
        return found
    }
}
#endif
