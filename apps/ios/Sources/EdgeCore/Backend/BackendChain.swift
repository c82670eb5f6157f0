/// Say why a backend was passed over.
public struct Refusal: Equatable, Sendable {
    public let backend: String
    public let reason: String
}

/// A way to run a model on this device.
public struct Backend: Sendable {
    public let name: String
    public let open: @Sendable () throws -> any Engine

    public init(_ name: String, open: @escaping @Sendable () throws -> any Engine) {
        self.name = name
        self.open = open
    }
}

/// The engine of the first backend that opened, and why those before it did not.
public struct OpenedBackend {
    public let name: String
    public let engine: any Engine
    public let refusals: [Refusal]
}

/// Report that no backend opened; `refusals` say why, in the order in which they were tried.
public struct NoBackend: Error, Equatable, CustomStringConvertible {
    public let refusals: [Refusal]

    public var description: String {
        let tried = refusals.map { "\($0.backend): \($0.reason)" }.joined(separator: "; ")
        return "no backend opens the model (\(tried.isEmpty ? "there is none" : tried))"
    }
}

/// Backends in the order in which they are tried.
public struct BackendChain: Sendable {
    public let backends: [Backend]

    public init(_ backends: [Backend]) {
        self.backends = backends
    }

    /// Return the chain with one backend only, as a user may choose it; throws NoBackend where it is not there.
    public func only(_ name: String) throws -> BackendChain {
        guard let found = backends.first(where: { $0.name == name }) else {
            let names = backends.map(\.name).joined(separator: ", ")
            throw NoBackend(refusals: [Refusal(backend: name, reason: "it is none of \(names)")])
        }
        return BackendChain([found])
    }

    /// Open the first backend that can be; throws NoBackend. Nothing is passed over without a reason.
    public func open() throws -> OpenedBackend {
        var refusals: [Refusal] = []
        for backend in backends {
            do {
                return OpenedBackend(name: backend.name, engine: try backend.open(), refusals: refusals)
            } catch {
                refusals.append(Refusal(backend: backend.name, reason: String(describing: error)))
            }
        }
        throw NoBackend(refusals: refusals)
    }
}
