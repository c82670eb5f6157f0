import AVFoundation
import EdgeCore
import Foundation

/// The camera's frames, upright and the latest one only; asks for permission when it is started.
final class CameraFeed: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, @unchecked Sendable {
    let session = AVCaptureSession()
    let frames = LatestFrame<CameraFrame>()
    private let tick = Locked<AsyncStream<Void>.Continuation?>(nil)
    private let queue = DispatchQueue(label: "edge-camera", qos: .userInitiated)
    private let isSetUp = Locked(false)

    /// Return one tick for every frame that is new, never more than one waiting; for one loop, which ends the stream.
    func ticks() -> AsyncStream<Void> {
        let (ticks, end) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        tick.with { $0 = end }
        return ticks
    }

    /// Ask for permission and start; throws ScreenProblem where the camera may not be used or is not there.
    func start() async throws {
        switch AVCaptureDevice.authorizationStatus(for: .video) {
        case .authorized: break
        case .notDetermined:
            guard await AVCaptureDevice.requestAccess(for: .video) else {
                throw ScreenProblem(state: .noCamera(forGood: true))
            }
        default: throw ScreenProblem(state: .noCamera(forGood: true))
        }
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            queue.async {
                done.resume(with: Result { try self.begin() })
            }
        }
    }

    func stop() {
        queue.async { self.session.stopRunning() }
    }

    private func begin() throws {
        if !isSetUp.with({ $0 }) {
            try setUp()
            isSetUp.with { $0 = true }
        }
        if !session.isRunning { session.startRunning() }
    }

    private func setUp() throws {
        guard let camera = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back) else {
            throw ScreenProblem(state: .cameraLost(reason: "this device has no camera on its back"))
        }
        let input = try AVCaptureDeviceInput(device: camera)
        let output = AVCaptureVideoDataOutput()
        output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
        output.alwaysDiscardsLateVideoFrames = true
        output.setSampleBufferDelegate(self, queue: queue)
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        session.sessionPreset = .hd1280x720
        guard session.canAddInput(input), session.canAddOutput(output) else {
            throw ScreenProblem(state: .cameraLost(reason: "another app holds the camera"))
        }
        session.addInput(input)
        session.addOutput(output)
        let connection = output.connection(with: .video)
        if let connection, connection.isVideoRotationAngleSupported(90) {
            connection.videoRotationAngle = 90  // upright, as the phone is held
        }
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection
    ) {
        guard let buffer = CMSampleBufferGetImageBuffer(sampleBuffer) else { return }
        frames.publish(CameraFrame(buffer))
        tick.with { _ = $0?.yield() }
    }
}
