/// What the user can do about a state.
public enum Remedy: String, CaseIterable, Sendable {
    case none, askCamera, openSystemSettings, openSettings, downloadAgain, updateApp, tryAgain
}

/// What a screen shows beside its picture: what works, or what went wrong, was lost and was sent.
public enum ScreenState: Equatable, Sendable {
    case starting
    case running(model: String, ranOn: Side, times: StageTimes?)
    case noCamera(forGood: Bool)
    case cameraLost(reason: String)
    case tampered(file: String)
    case newerSchema(reason: String)
    case truncated(reason: String)
    case serverLied(reason: String)
    case noConsent(takenBack: Bool)
    case unavailable(reason: String)
    case noModel(task: String)
    case failed(reason: String)

    /// What the user can do about it.
    public var remedy: Remedy {
        switch self {
        case .starting, .running: return .none
        case .noCamera(let forGood): return forGood ? .openSystemSettings : .askCamera
        case .cameraLost, .failed: return .tryAgain
        case .tampered, .truncated: return .downloadAgain
        case .newerSchema: return .updateApp
        case .serverLied, .noModel: return .none
        case .noConsent, .unavailable: return .openSettings
        }
    }

    /// What it says, in the words of the Android app.
    public var text: String {
        switch self {
        case .starting: return "Checking the models…"
        case .running(let model, let ranOn, _): return "\(model) on \(ranOn.rawValue)"
        case .noCamera(let forGood):
            return forGood
                ? "The app may not use the camera, and the system asks no more. Allow it in the system's settings."
                : "The app may not use the camera. It shows and keeps no picture until you allow it."
        case .cameraLost(let reason): return "The camera stopped: \(reason)"
        case .tampered(let file): return "\(file) is not the file that was made: its digest differs. It was not opened."
        case .newerSchema(let reason): return reason
        case .truncated(let reason): return "\(reason). What came is kept; the next try goes on from there."
        case .serverLied(let reason): return "The server's answer contradicts itself and was not used: \(reason)"
        case .noConsent(let takenBack):
            return takenBack
                ? "You took back your consent. What was on its way was cut off, and nothing more is sent."
                : "You have not agreed that anything is sent to the server. Nothing was sent."
        case .unavailable(let reason): return "The model may run nowhere now: \(reason)"
        case .noModel(let task): return "No model for \(task) is embedded: edge embed ARTIFACT --app ios"
        case .failed(let reason): return reason
        }
    }
}

/// Return the state that an error of a call, a download or a manifest leaves a screen in.
public func stateOf(_ error: any Error) -> ScreenState {
    switch error {
    case let error as ManifestError:
        return error.isNewer ? .newerSchema(reason: error.description) : .tampered(file: error.description)
    case let error as DownloadError:
        return error.canResume ? .truncated(reason: error.description) : .tampered(file: error.description)
    case let error as Unavailable:
        return consentState(error.decision.serverBlocked) ?? .unavailable(reason: error.description)
    case let error as CallFailed:
        if let cause = error.cause { return stateOf(cause) }
        return .failed(reason: error.description)
    case let error as Blocked:
        let isConsent = error.reason == .consentUnset || error.reason == .consentDenied
        return isConsent ? .noConsent(takenBack: true) : .unavailable(reason: error.description)
    case let error as ServeError where error.kind == .answerError || error.kind == .cut:
        return .serverLied(reason: error.description)
    default:
        return .failed(reason: String(describing: error))
    }
}

private func consentState(_ reason: Reason?) -> ScreenState? {
    reason == .consentUnset || reason == .consentDenied ? .noConsent(takenBack: false) : nil
}
