import EdgeCore
import SwiftUI

private let leastVisible = 0.5
private let left = Color(red: 1, green: 0.54, blue: 0.19)  // the person's own left is warm
private let right = Color(red: 0.15, green: 0.75, blue: 1)
private let middle = Color(red: 0.96, green: 0.96, blue: 0.97)
private let bones: [(String, String)] = [
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"), ("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow"),
    ("left_elbow", "left_wrist"), ("right_elbow", "right_wrist"), ("left_wrist", "left_index"),
    ("right_wrist", "right_index"), ("left_wrist", "left_pinky"), ("right_wrist", "right_pinky"),
    ("left_wrist", "left_thumb"), ("right_wrist", "right_thumb"), ("left_hip", "left_knee"),
    ("right_hip", "right_knee"), ("left_knee", "left_ankle"), ("right_knee", "right_ankle"),
    ("left_ankle", "left_heel"), ("right_ankle", "right_heel"), ("left_heel", "left_foot_index"),
    ("right_heel", "right_foot_index"), ("mouth_left", "mouth_right"), ("nose", "left_eye_inner"),
    ("left_eye_inner", "left_eye"), ("left_eye", "left_eye_outer"), ("left_eye_outer", "left_ear"),
    ("nose", "right_eye_inner"), ("right_eye_inner", "right_eye"), ("right_eye", "right_eye_outer"),
    ("right_eye_outer", "right_ear"),
]

/// What was found, drawn where it is in the picture, which is fitted into the view.
struct FoundOverlay: View {
    let found: Found

    var body: some View {
        switch found {
        case .pose(let pose, let size): PoseOverlay(pose: pose, size: size)
        case .mask(let mask): LayerOverlay(size: mask.size) { try maskLayer(mask, into: &$0) }
        case .scene(let scene): LayerOverlay(size: scene.size) { try ClassLayer().draw(scene.ids, into: &$0) }
        }
    }
}

private func maskLayer(_ mask: Segmentation, into pixels: inout [UInt32]) throws {
    if let probability = mask.probability {
        try MaskLayer().draw(probability, into: &pixels)
    } else {
        try ClassLayer().draw(mask.classes, into: &pixels)
    }
}

/// The visible part of a skeleton.
struct PoseOverlay: View {
    let pose: Pose
    let size: SizeHw

    var body: some View {
        Canvas { context, area in
            guard pose.found else { return }
            let scale = min(area.width / CGFloat(size.width), area.height / CGFloat(size.height))
            let shiftX = (area.width - scale * CGFloat(size.width)) / 2
            let shiftY = (area.height - scale * CGFloat(size.height)) / 2
            for (from, to) in bones {
                guard let a = place(from), let b = place(to) else { continue }
                var line = Path()
                line.move(to: CGPoint(x: shiftX + scale * a.x, y: shiftY + scale * a.y))
                line.addLine(to: CGPoint(x: shiftX + scale * b.x, y: shiftY + scale * b.y))
                context.stroke(line, with: .color(colour(from, to)), style: StrokeStyle(lineWidth: 4, lineCap: .round))
            }
        }
        .accessibilityLabel(pose.found ? "A person is in the picture" : "Nobody is in the picture")
    }

    /// Return a landmark's place in the picture, nil where it is not seen.
    private func place(_ name: String) -> CGPoint? {
        guard let index = LANDMARK_NAMES.firstIndex(of: name) else { return nil }
        guard pose.visibility[index] >= leastVisible else { return nil }
        return CGPoint(x: pose.points[index].x, y: pose.points[index].y)
    }

    private func colour(_ a: String, _ b: String) -> Color {
        let isLeft = a.contains("left") || b.contains("left")
        let isRight = a.contains("right") || b.contains("right")
        if isLeft == isRight { return middle }
        return isLeft ? left : right
    }
}

/// A layer of coloured pixels over the picture.
struct LayerOverlay: View {
    let size: SizeHw
    let draw: (inout [UInt32]) throws -> Void

    var body: some View {
        if let image = layer() {
            Image(decorative: image, scale: 1).resizable().interpolation(.medium).scaledToFit()
                .frame(maxWidth: .infinity, maxHeight: .infinity)
        }
    }

    /// Return the layer as an image, nil where nothing can be drawn.
    private func layer() -> CGImage? {
        var pixels = [UInt32](repeating: 0, count: size.count)
        guard (try? draw(&pixels)) != nil else { return nil }
        let data = pixels.withUnsafeBytes { Data($0) }
        guard let provider = CGDataProvider(data: data as CFData) else { return nil }
        let info = CGImageAlphaInfo.first.rawValue | CGBitmapInfo.byteOrder32Little.rawValue  // ARGB, not premultiplied
        return CGImage(
            width: size.width, height: size.height, bitsPerComponent: 8, bitsPerPixel: 32, bytesPerRow: 4 * size.width,
            space: CGColorSpaceCreateDeviceRGB(), bitmapInfo: CGBitmapInfo(rawValue: info), provider: provider,
            decode: nil, shouldInterpolate: true, intent: .defaultIntent
        )
    }
}
