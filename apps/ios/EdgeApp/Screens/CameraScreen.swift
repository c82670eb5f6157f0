import AVFoundation
import EdgeCore
import SwiftUI

private let tasks = ["pose-landmarks", "segmentation", "panoptic"]

/// The camera's picture with what a model finds in it; the latest frame only, and every stage's time.
struct CameraScreen: View {
    @ObservedObject var work: Workshop
    @StateObject private var scene = CameraScene()
    @Environment(\.scenePhase) private var phase

    var body: some View {
        ZStack(alignment: .bottom) {
            CameraPreview(session: scene.feed.session)
            if let seen = scene.seen { FoundOverlay(found: seen.found) }
            VStack(spacing: 8) {
                Picker("Model", selection: $scene.task) {
                    ForEach(tasks, id: \.self) { Text($0).tag($0) }
                }
                .pickerStyle(.segmented)
                StateView(state: scene.state) { scene.restart(work) }
            }
            .padding()
        }
        .ignoresSafeArea(edges: .top)
        .onAppear { scene.restart(work) }
        .onDisappear { scene.stop() }
        .onChange(of: scene.task) { scene.restart(work) }
        .onChange(of: work.settings) { scene.restart(work) }
        .onChange(of: phase) {
            if phase == .active {
                scene.restart(work)
            } else {
                scene.stop()
            }
        }
    }
}

/// The loop from the camera to the screen; on the main actor, while models run elsewhere.
@MainActor
final class CameraScene: ObservableObject {
    @Published var task = tasks[0]
    @Published private(set) var state = ScreenState.starting
    @Published private(set) var seen: Seen?
    let feed = CameraFeed()
    private let times = Times()
    private var loop: Task<Void, Never>?

    /// Begin anew, with the settings and the task of now.
    func restart(_ work: Workshop) {
        let before = loop
        before?.cancel()
        seen = nil
        state = .starting
        times.reset()
        let chosen = task
        loop = Task { [weak self] in
            await before?.value
            await work.start()
            await self?.run(chosen, work)
        }
    }

    func stop() {
        loop?.cancel()
        loop = nil
        feed.stop()
    }

    private func run(_ chosen: String, _ work: Workshop) async {
        do {
            let vision = Vision(try await models(chosen, work))
            try await feed.start()
            for await _ in feed.ticks() {
                guard !Task.isCancelled else { return }
                guard let frame = feed.frames.take() else { continue }
                await show(frame, vision)
            }
        } catch {
            state = screenState(error)
        }
    }

    private func models(_ chosen: String, _ work: Workshop) async throws -> [VisionModel] {
        let main = try await work.runner(task: chosen)
        guard chosen == "pose-landmarks" else { return [main] }
        let finder = try? await work.runner(task: "pose-detection")  // without one the whole picture is looked at
        return [finder, main].compactMap { $0 }
    }

    private func show(_ frame: CameraFrame, _ vision: Vision) async {
        do {
            let found = try await vision.look(at: frame)
            times.add(found.times)
            seen = found
            state = .running(model: found.model, ranOn: found.ranOn, times: times.medians())
        } catch is CancellationError {
            return
        } catch {
            seen = nil
            state = screenState(error)
        }
    }
}

/// The system's own view of the camera, below the overlay.
struct CameraPreview: UIViewRepresentable {
    let session: AVCaptureSession

    final class PreviewView: UIView {
        override class var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }
    }

    func makeUIView(context: Context) -> PreviewView {
        let view = PreviewView()
        if let layer = view.layer as? AVCaptureVideoPreviewLayer {
            layer.session = session
            layer.videoGravity = .resizeAspect  // the overlay fits the same rectangle
        }
        return view
    }

    func updateUIView(_ view: PreviewView, context: Context) {}
}
