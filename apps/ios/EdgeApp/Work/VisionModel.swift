import EdgeCore
import Foundation

/// One model that looks at frames: its runner, and what turns frames into tensors.
final class VisionModel: @unchecked Sendable {  // the preprocessor is used under its lock
    let manifest: Manifest
    private let runner: FallbackRunner
    private let rule: Preprocess
    private let preprocessor: Preprocessor
    private let lock = NSLock()

    /// Throw ContractError for a model that takes no picture.
    init(_ manifest: Manifest, _ runner: FallbackRunner) throws {
        guard let rule = manifest.preprocess else {
            throw ContractError("\(manifest.model): a picture needs a contract with preprocess")
        }
        self.manifest = manifest
        self.runner = runner
        self.rule = rule
        preprocessor = try Preprocessor(manifest.contract)
    }

    /// Run the model on a frame, or a region of it, where the policy says.
    func run<R: Sendable>(
        _ source: CameraFrame, region: Region? = nil,
        decode: @escaping @Sendable ([String: [Float]], Frame) throws -> R
    ) async throws -> Answer<R> {
        let size = source.size
        let frame = region.map { Frame.cut($0, from: size, rule.size) }
            ?? Frame.whole(size, rule.size, resize: rule.resize)
        let picture = PictureFile(width: size.width, height: size.height, region: region) { try source.jpeg() }
        let input = Input<R>(
            picture: picture,
            tensors: { [self] _ in try tensors(source, region) },
            decode: { outputs, _ in try decode(outputs, frame) }
        )
        return try await runner.call(input)
    }

    private func tensors(_ source: CameraFrame, _ region: Region?) throws -> [String: [Float]] {
        lock.lock()
        defer { lock.unlock() }
        var values = [Float](repeating: 0, count: preprocessor.spec.count)
        _ = try source.withPixels { try preprocessor.run($0, region: region, into: &values) }
        return [preprocessor.spec.name: values]
    }
}
