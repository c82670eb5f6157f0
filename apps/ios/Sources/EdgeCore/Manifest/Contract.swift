private let largestSize = Int(Int32.max)  // of an axis: what every reader of a manifest can hold

/// The element types of tensors.
public enum DType: String, CaseIterable, Sendable {
    case float32, float16, int64, int32, int16, int8, uint8, bool

    /// Say whether values of it are floating point.
    public var isFloat: Bool { self == .float32 || self == .float16 }

    /// Return the range of an integer type that a picture's values are clipped to; nil where nothing is clipped.
    public var limits: ClosedRange<Double>? {
        switch self {
        case .uint8: return 0...255
        case .int8: return -128...127
        case .int16: return -32_768...32_767
        case .int32: return -2_147_483_648...2_147_483_647
        case .float32, .float16, .int64, .bool: return nil
        }
    }
}

/// Which axes of a tensor are an image's; empty where none are.
public enum Layout: String, CaseIterable, Sendable {
    case nchw = "NCHW"
    case nhwc = "NHWC"
    case plain = ""
}

/// Height and width in pixels.
public struct SizeHw: Equatable, Hashable, Sendable {
    public let height: Int
    public let width: Int

    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }

    public var count: Int { height * width }
}

/// Report what a contract or an input does not fit, with what was expected.
public struct ContractError: Error, Equatable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Describe one tensor; `layout` is empty where the axes are not an image's.
public struct TensorSpec: Equatable, Sendable {
    public let name: String
    public let shape: [Int]
    public let dtype: DType
    public let layout: Layout

    /// Throw ContractError for an empty name, a size below 1, or a layout without 4 axes.
    public init(name: String, shape: [Int], dtype: DType = .float32, layout: Layout = .plain) throws {
        guard !name.isEmpty else { throw ContractError("a tensor needs a name") }
        guard shape.allSatisfy({ $0 >= 1 }) else {
            throw ContractError("\(name): shape \(shape) has a size below 1; every size is fixed and positive")
        }
        guard shape.allSatisfy({ $0 <= largestSize }), TensorSpec.product(shape) != nil else {
            throw ContractError("\(name): shape \(shape) has more elements than can be counted")
        }
        guard layout == .plain || shape.count == 4 else {
            throw ContractError("\(name): layout \(layout.rawValue) needs 4 axes, shape \(shape) has \(shape.count)")
        }
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.layout = layout
    }

    /// Return the number of elements.
    public var count: Int { TensorSpec.product(shape) ?? 0 }

    /// Return the image axes' sizes, nil for a tensor without an image layout.
    public var size: SizeHw? {
        switch layout {
        case .nchw: return SizeHw(height: shape[2], width: shape[3])
        case .nhwc: return SizeHw(height: shape[1], width: shape[2])
        case .plain: return nil
        }
    }

    /// Return the number of planes of an image tensor, nil without an image layout.
    public var channels: Int? {
        switch layout {
        case .nchw: return shape[1]
        case .nhwc: return shape[3]
        case .plain: return nil
        }
    }

    static func product(_ shape: [Int]) -> Int? {
        var total = 1
        for size in shape {
            let (next, overflows) = total.multipliedReportingOverflow(by: size)
            if overflows { return nil }
            total = next
        }
        return total
    }
}

/// Turn an 8-bit picture into the first input.
///
/// value = (pixel / 255 · (high − low) + low − mean) / std, per channel in the colour order of `colour`.
public struct Preprocess: Equatable, Sendable {
    /// How a picture fills the input: `stretch` fills it, `letterbox` puts the whole picture into its middle between
    /// black bars, `corner` puts it at the upper left beside grey (128).
    public enum Resize: String, CaseIterable, Sendable {
        case stretch, letterbox, corner
    }

    /// The order of the channels.
    public enum Colour: String, CaseIterable, Sendable {
        case rgb = "RGB"
        case bgr = "BGR"
    }

    public let size: SizeHw
    public let resize: Resize
    public let colour: Colour
    public let low: Double
    public let high: Double
    public let mean: [Double]
    public let std: [Double]

    /// Throw ContractError for a size below 1, other than 3 means or deviations, or a deviation of zero.
    public init(
        size: SizeHw,
        resize: Resize = .stretch,
        colour: Colour = .rgb,
        low: Double = 0,
        high: Double = 1,
        mean: [Double] = [0, 0, 0],
        std: [Double] = [1, 1, 1]
    ) throws {
        guard size.height >= 1, size.width >= 1, size.height <= largestSize, size.width <= largestSize else {
            throw ContractError(
                "preprocess.size [\(size.height), \(size.width)] has a side below 1 pixel or above 32 bits"
            )
        }
        guard mean.count == 3, std.count == 3 else {
            throw ContractError("preprocess.mean and preprocess.std have a value for each of 3 channels")
        }
        guard !std.contains(0) else {
            throw ContractError("preprocess.std \(std) has a zero; every channel is divided by it")
        }
        self.size = size
        self.resize = resize
        self.colour = colour
        self.low = low
        self.high = high
        self.mean = mean
        self.std = std
    }
}

/// A value of a decoder's settings or of a tool's options.
public enum Setting: Equatable, Sendable {
    case number(Double)
    case text(String)
    case flag(Bool)
    case numbers([Double])
}

/// Name the decoder that turns outputs into a result, and its settings.
public struct Postprocess: Equatable, Sendable {
    public let decoder: String
    public let settings: [String: Setting]

    public init(decoder: String, settings: [String: Setting] = [:]) {
        self.decoder = decoder
        self.settings = settings
    }

    /// Return a setting that is a number; throws ContractError for another kind.
    public func number(_ name: String, default fallback: Double) throws -> Double {
        switch settings[name] {
        case nil: return fallback
        case .number(let value): return value
        default: throw ContractError("postprocess.settings.\(name) must be a number")
        }
    }

    /// Return a setting that is a list of numbers; throws ContractError for another kind.
    public func numbers(_ name: String, default fallback: [Double]) throws -> [Double] {
        switch settings[name] {
        case nil: return fallback
        case .numbers(let values): return values
        default: throw ContractError("postprocess.settings.\(name) must be a list of numbers")
        }
    }
}

/// Fix names, shapes, types, preprocessing, decoding and task of a model.
public struct Contract: Equatable, Sendable {
    public let inputs: [TensorSpec]
    public let outputs: [TensorSpec]
    public let task: String
    public let preprocess: Preprocess?
    public let postprocess: Postprocess?
    public let labels: [String]

    /// Throw ContractError without inputs, for a tensor name that comes twice, or a size that differs.
    public init(
        inputs: [TensorSpec],
        outputs: [TensorSpec] = [],
        task: String = "tensors",
        preprocess: Preprocess? = nil,
        postprocess: Postprocess? = nil,
        labels: [String] = []
    ) throws {
        guard let first = inputs.first else { throw ContractError("a contract needs at least one input") }
        var names: Set<String> = []
        for spec in inputs + outputs where !names.insert(spec.name).inserted {
            throw ContractError("tensor names must differ, used twice: \(spec.name)")
        }
        if let wanted = preprocess?.size, let size = first.size, size != wanted {
            throw ContractError(
                "preprocess.size [\(wanted.height), \(wanted.width)] differs from \(first.name)'s "
                    + "[\(size.height), \(size.width)] (height, width)"
            )
        }
        self.inputs = inputs
        self.outputs = outputs
        self.task = task
        self.preprocess = preprocess
        self.postprocess = postprocess
        self.labels = labels
    }

    /// Return an output's description; throws ContractError naming the outputs there are.
    public func output(_ name: String) throws -> TensorSpec {
        if let found = outputs.first(where: { $0.name == name }) { return found }
        let names = outputs.map(\.name).joined(separator: ", ")
        let known = names.isEmpty ? "none" : names
        throw ContractError("this task needs an output named '\(name)'; the contract has \(known)")
    }

    /// Say whether the model's one input is one colour picture.
    public var takesImage: Bool { inputs.count == 1 && inputs[0].shape.first == 1 && inputs[0].channels == 3 }
}
