/// Say how strongly a One-Euro filter smooths: after Casiez, Roussel and Vogel, CHI 2012.
///
/// `minCutoffHz` is the cutoff at rest: lower takes more jitter away; `beta` raises it with speed: higher lags less;
/// `speedCutoffHz` smooths the speed itself.
public struct OneEuroSettings: Equatable, Sendable {
    public let minCutoffHz: Double
    public let beta: Double
    public let speedCutoffHz: Double

    /// Cutoffs of 1 Hz at every speed.
    public static let standard = OneEuroSettings(checkedMinCutoffHz: 1, beta: 0, speedCutoffHz: 1)

    /// Throw ContractError for a cutoff that is not positive or a negative `beta`.
    public init(minCutoffHz: Double = 1, beta: Double = 0, speedCutoffHz: Double = 1) throws {
        guard minCutoffHz > 0, speedCutoffHz > 0, minCutoffHz.isFinite, speedCutoffHz.isFinite else {
            throw ContractError("cutoffs are \(minCutoffHz) and \(speedCutoffHz) Hz; they have to be positive")
        }
        guard beta >= 0, beta.isFinite else { throw ContractError("beta is \(beta); it must not be negative") }
        self.init(checkedMinCutoffHz: minCutoffHz, beta: beta, speedCutoffHz: speedCutoffHz)
    }

    init(checkedMinCutoffHz minCutoffHz: Double, beta: Double, speedCutoffHz: Double) {
        self.minCutoffHz = minCutoffHz
        self.beta = beta
        self.speedCutoffHz = speedCutoffHz
    }
}

/// Smooth one number over time.
///
/// A first value passes as it is. A value that is not finite, or whose time is not after the last one's, changes
/// nothing: the last smoothed value is returned again.
public struct OneEuro: Sendable {
    private let settings: OneEuroSettings
    private var value = 0.0
    private var speed = 0.0
    private var atNs: Int64 = 0
    private var isStarted = false

    public init(_ settings: OneEuroSettings = .standard) {
        self.settings = settings
    }

    /// Forget everything: the next value stands alone.
    public mutating func reset() {
        isStarted = false
    }

    /// Return the smoothed value; speeds count in units of `scale` a second.
    public mutating func smooth(_ raw: Double, timeNs: Int64, scale: Double = 1) throws -> Double {
        try checkScale(scale)
        guard raw.isFinite else { return isStarted ? value : raw }
        if !isStarted {
            isStarted = true
            speed = 0
            value = raw
        } else if timeNs > atNs {
            step(raw, seconds: Double(timeNs - atNs) / 1e9, scale: scale)
        } else {
            return value
        }
        atNs = timeNs
        return value
    }

    private mutating func step(_ raw: Double, seconds: Double, scale: Double) {
        let found = (raw - value) / seconds / scale
        speed += share(settings.speedCutoffHz, seconds) * (found - speed)
        value += share(settings.minCutoffHz + settings.beta * abs(speed), seconds) * (raw - value)
    }
}

/// Return how much of a new value a low-pass of a cutoff takes in after a time.
func share(_ cutoffHz: Double, _ seconds: Double) -> Double {
    let turned = 2 * Double.pi * cutoffHz * seconds
    return turned / (1 + turned)
}

func checkScale(_ scale: Double) throws {
    guard scale > 0, scale.isFinite else { throw ContractError("scale is \(scale); it has to be positive") }
}
