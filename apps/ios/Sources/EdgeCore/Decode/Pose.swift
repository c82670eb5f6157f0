/// Names of the 33 landmarks, in the model's order.
public let LANDMARK_NAMES = [
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
]

private let leastScore = 0.5  // at which a person counts as found

/// A place in a picture or in the world.
public struct Point3: Equatable, Sendable {
    public let x: Double
    public let y: Double
    public let z: Double

    public init(x: Double, y: Double, z: Double) {
        self.x = x
        self.y = y
        self.z = z
    }
}

/// One person's 33 landmarks.
///
/// `points` in picture pixels, z towards the camera negative, on about the scale of x, from the mid-hip; `visibility`
/// and `presence` in 0…1; `world` in metres from the mid-hip; `mask` (height · width) in 0…1 over the whole picture,
/// nil if it was not asked for. `nextRegion` is where to look in the next picture, if the model says it.
public struct Pose: Equatable, Sendable {
    public let score: Double
    public let points: [Point3]
    public let visibility: [Double]
    public let presence: [Double]
    public let world: [Point3]
    public let region: Region?
    public let nextRegion: Region?
    public let mask: [Float]?

    /// Say whether there is a person.
    public var found: Bool { score >= leastScore }

    /// The pose of a picture without a person: score 0.
    public static let nobody = Pose(
        score: 0,
        points: Array(repeating: Point3(x: 0, y: 0, z: 0), count: LANDMARK_NAMES.count),
        visibility: Array(repeating: 0, count: LANDMARK_NAMES.count),
        presence: Array(repeating: 0, count: LANDMARK_NAMES.count),
        world: Array(repeating: Point3(x: 0, y: 0, z: 0), count: LANDMARK_NAMES.count),
        region: nil,
        nextRegion: nil,
        mask: nil
    )

    /// Return the same pose with its points elsewhere, as after smoothing.
    public func moved(to points: [Point3]) -> Pose {
        Pose(
            score: score, points: points, visibility: visibility, presence: presence, world: world, region: region,
            nextRegion: nextRegion, mask: mask
        )
    }
}
