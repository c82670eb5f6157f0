private let toNhwc = [0, 2, 3, 1]
private let toNchw = [0, 3, 1, 2]

/// A server's model that fits a contract; `pictures` says whether it takes encoded ones.
struct Served: Equatable, Sendable {
    let metadata: ModelMetadata
    let contract: Contract
    let pictures: Bool
    let toServer: [String: [Int]]  // by input: how its axes are permuted; none where they lie alike
    let fromServer: [String: [Int]]

    /// The outputs that are read, as the server declares them.
    var outputs: [TensorMetadata] {
        let names = Set(contract.outputs.map(\.name))
        return metadata.outputs.filter { names.contains($0.name) }
    }

    /// Return inputs (row-major, of the contract's shapes) as the server takes them.
    func tensors(_ inputs: [String: [Float]]) throws -> [Tensor] {
        try contract.inputs.map { spec in
            let values = inputs[spec.name] ?? []
            let axes = toServer[spec.name]
            let shape = axes.map { $0.map { spec.shape[$0] } } ?? spec.shape
            let laid = axes.map { permuted(values, spec.shape, $0) } ?? values
            return try Tensor.of(spec.name, shape, laid, datatype: datatypeOf(spec.dtype))
        }
    }

    /// Return outputs as the contract has them; throws ServeError for other shapes than were asked for.
    func arrays(_ outputs: [String: Tensor]) throws -> [String: [Float]] {
        var found: [String: [Float]] = [:]
        for spec in contract.outputs {
            guard let tensor = outputs[spec.name] else {
                throw ServeError(.answerError, "output \(spec.name) is missing")
            }
            let axes = fromServer[spec.name]
            let shape = axes.map { $0.map { tensor.shape[$0] } } ?? tensor.shape
            guard shape == spec.shape else {
                throw ServeError(
                    .answerError, "output \(spec.name) is \(tensor.shape); \(spec.shape) was asked for"
                )
            }
            let values = try tensor.floats()
            found[spec.name] = axes.map { permuted(values, tensor.shape, $0) } ?? values
        }
        return found
    }
}

/// Match names, types and shapes; images may lie channels first or last. Throws ContractError with the difference.
///
/// The server may have more outputs, but no more inputs.
func checkContract(_ metadata: ModelMetadata, _ contract: Contract) throws -> Served {
    let inputs = try match(contract.inputs, metadata.inputs, "input")
    let outputs = try match(contract.outputs, metadata.outputs, "output")
    let names = Set(contract.inputs.map(\.name))
    if let extra = metadata.inputs.first(where: { !names.contains($0.name) }) {
        let model = printable(metadata.name, 80)
        throw ContractError("the server's \(model) also wants input \(printable(extra.name, 80))")
    }
    return Served(
        metadata: metadata,
        contract: contract,
        pictures: metadata.inputs.count == 1 && metadata.inputs[0].takesPictures,
        toServer: inputs,
        fromServer: outputs.mapValues(inverse)
    )
}

/// Return, by name, how this side's axes are permuted into the server's, where they are.
private func match(_ own: [TensorSpec], _ theirs: [TensorMetadata], _ word: String) throws -> [String: [Int]] {
    var found: [String: [Int]] = [:]
    for spec in own {
        found[spec.name] = try axes(spec, theirs.first { $0.name == spec.name }, word)
    }
    return found
}

private func axes(_ mine: TensorSpec, _ theirs: TensorMetadata?, _ word: String) throws -> [Int]? {
    let datatype = datatypeOf(mine.dtype)
    let wanted = "\(datatype.rawValue) \(mine.shape)"
    guard let theirs else {
        throw ContractError("the server's model has no \(word) \(mine.name) (\(wanted)); is it another model?")
    }
    if theirs.datatype == datatype {
        if fits(mine.shape, theirs.shape, mostRows: mine.shape.first ?? 1) { return nil }
        if let other = mine.layout == .nchw ? toNhwc : mine.layout == .nhwc ? toNchw : nil {
            let shape = other.map { mine.shape[$0] }
            if fits(shape, theirs.shape, mostRows: shape[0]) { return other }
        }
    }
    throw ContractError(
        "\(word) \(mine.name) is \(wanted) here and \(theirs.datatype.rawValue) \(theirs.shape) on the server; "
            + "is it another model?"
    )
}

private func inverse(_ axes: [Int]) -> [Int] { axes.indices.map { axes.firstIndex(of: $0) ?? $0 } }

/// Return values of 4 axes with the axes in another order.
func permuted(_ values: [Float], _ shape: [Int], _ axes: [Int]) -> [Float] {
    guard shape.count == 4, axes.count == 4, elementCount(shape) == values.count else { return values }
    let strides = [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1]
    var found: [Float] = []
    found.reserveCapacity(values.count)
    for i in 0..<shape[axes[0]] {
        for j in 0..<shape[axes[1]] {
            for k in 0..<shape[axes[2]] {
                var from = i * strides[axes[0]] + j * strides[axes[1]] + k * strides[axes[2]]
                for _ in 0..<shape[axes[3]] {
                    found.append(values[from])
                    from += strides[axes[3]]
                }
            }
        }
    }
    return found
}
