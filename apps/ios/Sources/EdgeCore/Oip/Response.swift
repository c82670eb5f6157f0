/// What a model answered, outputs by name.
public struct InferResponse: Equatable, Sendable {
    public let modelName: String
    public let modelVersion: String
    public let outputs: [String: Tensor]
    public let id: String
    public let parameters: JsonObject
}

/// Return the answer of a server, which is trusted no more than a client is.
///
/// `headerLength` is the value of `Inference-Header-Content-Length`, nil without one. `expected` are the outputs that
/// have to be there, as they have to be; more may come. Throws ServeError of the kind `answerError` and nothing else.
/// An answer with another status than 200 is for `parseError`.
public func parseResponse(
    _ body: [UInt8], headerLength: String?, expected: [TensorMetadata] = [], limits: Limits = Limits()
) throws -> InferResponse {
    do {
        let jsonBytes = try jsonLength(body.count, headerLength: headerLength, limits)
        let document = try readResponseDocument(Array(body[..<jsonBytes]))
        let places = try layOut(document.outputs, binaryBytes: body.count - jsonBytes, limits)
        for spec in expected {
            try check(spec, document.outputs, limits)
        }
        var outputs: [String: Tensor] = [:]
        for output in document.outputs {
            outputs[output.name] = try readTensor(output, places[output.name] ?? 0..<0, body[jsonBytes...])
        }
        return InferResponse(
            modelName: document.modelName, modelVersion: document.modelVersion, outputs: outputs, id: document.id,
            parameters: document.parameters
        )
    } catch let error as ServeError {
        throw ServeError(.answerError, "the server's answer cannot be read: \(error)")
    } catch let error as JsonError {
        throw ServeError(.answerError, "the server's answer cannot be read: \(printable(error.description))")
    }
}

private func check(_ spec: TensorMetadata, _ documents: [TensorDocument], _ limits: Limits) throws {
    guard let found = documents.first(where: { $0.name == spec.name }) else {
        throw ServeError(.requestError, "output \(shown(spec.name)) is missing")
    }
    guard found.datatype == spec.datatype, fits(found.shape, spec.shape, mostRows: limits.rows) else {
        throw ServeError(
            .requestError,
            "output \(shown(spec.name)) is \(found.datatype.rawValue) \(found.shape), not \(spec.datatype.rawValue) "
                + "\(spec.shape)"
        )
    }
}
