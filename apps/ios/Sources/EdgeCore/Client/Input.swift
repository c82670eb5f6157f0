/// A picture that may go up as a file.
///
/// `encode` returns it as JPEG, PNG or WebP, made from pixels so that it holds no metadata. It is called at most once,
/// and never where nothing may be sent. Width and height are in pixels.
public final class PictureFile: Sendable {
    public let width: Int
    public let height: Int
    public let region: Region?
    private let encode: @Sendable () throws -> [UInt8]
    private let kept = Locked<[UInt8]?>(nil)

    public init(width: Int, height: Int, region: Region? = nil, encode: @escaping @Sendable () throws -> [UInt8]) {
        self.width = width
        self.height = height
        self.region = region
        self.encode = encode
    }

    func encoded() throws -> [UInt8] {
        try kept.with { kept in
            if let found = kept { return found }
            let found = try encode()
            kept = found
            return found
        }
    }
}

/// A call's input: `tensors` makes the inputs of a contract (row-major), once for each contract; `decode` makes the
/// result of a contract's outputs. Both run on tasks of the runner's. With a `picture` a server may be sent that
/// instead.
public final class Input<R: Sendable>: Sendable {
    let picture: PictureFile?
    let decode: @Sendable (_ outputs: [String: [Float]], _ contract: Contract) throws -> R
    private let tensors: @Sendable (Contract) throws -> [String: [Float]]
    private let prepared = Locked<[(contract: Contract, inputs: [String: [Float]])]>([])

    public init(
        picture: PictureFile? = nil,
        tensors: @escaping @Sendable (Contract) throws -> [String: [Float]],
        decode: @escaping @Sendable (_ outputs: [String: [Float]], _ contract: Contract) throws -> R
    ) {
        self.picture = picture
        self.tensors = tensors
        self.decode = decode
    }

    /// Return the contract's inputs; throws ContractError for tensors that do not fit.
    func inputs(_ contract: Contract) throws -> [String: [Float]] {
        try prepared.with { prepared in
            if let found = prepared.first(where: { $0.contract == contract }) { return found.inputs }
            let made = try tensors(contract)
            try check(made, contract)
            prepared.append((contract, made))
            return made
        }
    }

    /// Return in which form the input goes up.
    func travels(_ contract: Contract, _ policy: Policy) -> Upload {
        picture != nil && contract.takesImage ? policy.upload : .tensors
    }

    private func check(_ given: [String: [Float]], _ contract: Contract) throws {
        for spec in contract.inputs where given[spec.name]?.count != spec.count {
            let shown = given[spec.name].map { "\($0.count) values" } ?? "missing"
            throw ContractError("input \(spec.name) is \(shown); the model takes \(spec.dtype.rawValue) \(spec.shape)")
        }
        let names = Set(contract.inputs.map(\.name))
        if let strange = given.keys.sorted().first(where: { !names.contains($0) }) {
            throw ContractError("the model has no input \(strange); it has \(names.sorted().joined(separator: ", "))")
        }
    }
}

extension Input where R == [String: [Float]] {
    /// Return named tensors as an input whose result is the model's outputs.
    public static func of(_ tensors: [String: [Float]]) -> Input<[String: [Float]]> {
        Input(tensors: { _ in tensors }, decode: { outputs, _ in outputs })
    }
}
