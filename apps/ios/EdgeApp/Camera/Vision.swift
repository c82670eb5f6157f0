import EdgeCore
import Foundation

/// What a model found in a frame, to be drawn over it.
enum Found: Sendable {
    case pose(Pose, SizeHw)
    case mask(Segmentation)
    case scene(Panoptic)
}

/// One frame's result: what was found, where it ran and how long each stage took.
struct Seen: Sendable {
    let found: Found
    let model: String
    let ranOn: Side
    let times: StageTimes
}

/// Looks at frames one after the other with the models of a task; only one frame at a time is given to it.
actor Vision {
    private let models: [VisionModel]
    private let tracker = Locked(RegionTracker())
    private let smoother = Locked(LandmarkSmoother(count: LANDMARK_NAMES.count))

    /// `models` is one model; for poses, the one that finds people and then the one that places landmarks.
    init(_ models: [VisionModel]) {
        self.models = models
    }

    /// Look at a frame; throws what a call throws.
    func look(at frame: CameraFrame) async throws -> Seen {
        guard let last = models.last else { throw ScreenProblem(state: .noModel(task: "pictures")) }
        switch last.manifest.task {
        case "pose-landmarks": return try await pose(frame, last)
        case "panoptic":
            let task = try PanopticTask(last.manifest.contract)
            let answer = try await last.run(frame) { outputs, place in try task.decode(outputs, place) }
            return seen(.scene(answer.result), last, answer.ranOn, answer.attempts)
        default:
            let task = try SegmentationTask(last.manifest.contract)
            let answer = try await last.run(frame) { outputs, place in try task.decode(outputs, place) }
            return seen(.mask(answer.result), last, answer.ranOn, answer.attempts)
        }
    }

    private func pose(_ frame: CameraFrame, _ landmarks: VisionModel) async throws -> Seen {
        let decoder = try PoseLandmarks(landmarks.manifest.contract)
        guard let region = try await region(frame) else {
            return seen(.pose(.nobody, frame.size), landmarks, .device, [])
        }
        let answer = try await landmarks.run(frame, region: region) { outputs, place in
            try decoder.decode(outputs, place, withMask: false)
        }
        let pose = answer.result
        tracker.with { _ = $0.follow(pose) }
        let now = Int64(bitPattern: DispatchTime.now().uptimeNanoseconds)
        let points = try smoother.with { smoother in
            if !pose.found { smoother.reset() }
            return try smoother.smooth(
                pose.points, visibility: pose.visibility, timeNs: now, scale: max(region.side, 1)
            )
        }
        return seen(.pose(pose.moved(to: points), frame.size), landmarks, answer.ranOn, answer.attempts)
    }

    /// Return where the person was when last seen, or look for one in the whole frame.
    private func region(_ frame: CameraFrame) async throws -> Region? {
        if let known = tracker.with({ $0.region }) { return known }
        guard models.count > 1, let finder = models.first else { return PoseLandmarks.wholeRegion(frame.size) }
        let decoder = try PoseDetection(finder.manifest.contract)
        let answer = try await finder.run(frame) { outputs, place in try decoder.decode(outputs, place) }
        let found = answer.result.items.first?.region()
        tracker.with { $0.begin(found) }
        return found
    }

    private func seen(_ found: Found, _ model: VisionModel, _ ranOn: Side, _ attempts: [Attempt]) -> Seen {
        let spans = attempts.last { $0.outcome == .answered }?.spans ?? Spans()
        let inference = spans.inferenceMs ?? spans.waitMs
        let times = StageTimes(
            preNs: nanoseconds(spans.prepareMs), inferenceNs: nanoseconds(inference),
            postNs: nanoseconds(spans.decodeMs)
        )
        return Seen(found: found, model: model.manifest.model, ranOn: ranOn, times: times)
    }
}

private func nanoseconds(_ milliseconds: Double?) -> UInt64 { UInt64(max(0, milliseconds ?? 0) * 1e6) }
