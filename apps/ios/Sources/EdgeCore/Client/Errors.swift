/// Report a server that no connection could be made to, or whose connection had silently ended.
public struct Unreachable: Error, Equatable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Report a request that was not sent, as a gate had closed since the decision; `reason` names it.
public struct Blocked: Error, Equatable, CustomStringConvertible {
    public let reason: Reason
    public let description: String
}

/// Report a device that still runs what earlier calls left behind.
public struct DeviceBusy: Error, Equatable, CustomStringConvertible {
    public let description: String
}

/// Thrown by who opens an engine: what the model needs does not exist on this device.
public struct EngineUnsupported: Error, Equatable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Report a call that may run nowhere; `decision.reason` names the gate. Nothing was sent.
public struct Unavailable: Error, CustomStringConvertible {
    public let description: String
    public let decision: Decision
}

/// Report a call whose every side failed; `attempts` say how, `cause` is the last error.
public struct CallFailed: Error, CustomStringConvertible {
    public let description: String
    public let decision: Decision
    public let attempts: [Attempt]
    public let cause: (any Error)?
}

/// Report a call that no side answered in time; `attempts` say what was tried.
public struct DeadlineMissed: Error, CustomStringConvertible {
    public let description: String
    public let decision: Decision
    public let attempts: [Attempt]
    public let cause: (any Error)?
}
