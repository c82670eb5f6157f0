import EdgeCore
import Foundation

/// What all screens share: the settings, the artifacts, and the runners made of both; on the main actor.
@MainActor
final class Workshop: ObservableObject {
    @Published private(set) var settings = AppSettings.read()
    @Published private(set) var artifacts: Artifacts?
    private var runners: [String: FallbackRunner] = [:]

    /// Read and check the artifacts once.
    func start() async {
        guard artifacts == nil else { return }
        artifacts = await Task.detached(priority: .userInitiated) { Artifacts.read() }.value
    }

    /// Take new settings; consent that is taken back ends what is on its way before this returns.
    func apply(_ changed: AppSettings) async {
        let before = settings
        settings = changed
        changed.write()
        for runner in runners.values {
            await runner.setConsent(changed.consent)
        }
        let isOther = before.mode != changed.mode || before.server != changed.server || before.token != changed.token
        if isOther || before.backend != changed.backend {
            for runner in runners.values {
                await runner.close()
            }
            runners = [:]
        }
    }

    /// Return the runner of a task's model, made once; throws ScreenProblem where there is no model.
    func runner(task: String) async throws -> VisionModel {
        let found = artifacts?.of(task: task) ?? []
        guard let first = found.first else { throw ScreenProblem(state: .noModel(task: task)) }
        let made = try await runner(for: found, contract: first.manifest.contract, key: task)
        return try VisionModel(first.manifest, made)
    }

    /// Return the runner of a model on the server only, such as the one that makes pictures of tokens.
    func serverRunner(model: String, contract: Contract) async throws -> FallbackRunner {
        if let known = runners["server/\(model)"] { return known }
        guard let endpoint = try settings.endpoint(model: model) else {
            throw ScreenProblem(state: .unavailable(reason: "there is no server; name one in the settings"))
        }
        let policy = Policy(mode: .onlyServer, dataClass: .mayUpload, deadlineMs: 10_000)
        let made = try FallbackRunner(
            local: nil, endpoint: endpoint, policy: policy, contract: contract, network: networkNow
        )
        await made.setConsent(settings.consent)
        runners["server/\(model)"] = made
        return made
    }

    private func runner(for found: [Candidate], contract: Contract, key: String) async throws -> FallbackRunner {
        if let known = runners[key] { return known }
        let manifest = found[0].manifest
        let preferred = settings.backend.isEmpty ? nil : settings.backend
        let local = OnDevice(contract: contract, model: manifest.model, modelSha256: manifest.source.sha256) {
            do {
                return try engines().open(found, preferred: preferred).engine
            } catch let error as NoBackend {
                throw EngineUnsupported(error.description)
            }
        }
        let policy = Policy(mode: settings.mode, dataClass: .mayUpload)
        let made = try FallbackRunner(
            local: local, endpoint: try settings.endpoint(model: manifest.model), policy: policy, device: deviceNow,
            network: networkNow
        )
        await made.setConsent(settings.consent)
        runners[key] = made
        return made
    }
}

/// An error that is a screen's state.
struct ScreenProblem: Error {
    let state: ScreenState
}

/// Return the state that an error leaves a screen in.
func screenState(_ error: any Error) -> ScreenState { (error as? ScreenProblem)?.state ?? stateOf(error) }
