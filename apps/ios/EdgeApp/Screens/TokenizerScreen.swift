import EdgeCore
import PhotosUI
import SwiftUI

/// A photo becomes a few codes on the device; the server makes a picture of the codes. The photo itself is never sent.
struct TokenizerScreen: View {
    @ObservedObject var work: Workshop
    @StateObject private var scene = TokenizerScene()

    var body: some View {
        NavigationStack {
            ScrollView {
                VStack(spacing: 12) {
                    Text(
                        "The device turns a photo into a few codes; the server turns the codes back into a picture. "
                            + "The photo itself is never sent."
                    )
                    PhotosPicker("Choose a photo", selection: $scene.chosen, matching: .images)
                    HStack {
                        if let photo = scene.photo { Image(uiImage: photo).resizable().scaledToFit() }
                        if let made = scene.reconstruction { Image(uiImage: made).resizable().scaledToFit() }
                    }
                    .frame(maxHeight: 320)
                    if let summary = scene.summary { Text(summary).font(.callout.monospacedDigit()) }
                    if let state = scene.state { StateView(state: state) { scene.run(work) } }
                }
                .padding()
            }
            .navigationTitle("Tokens")
        }
        .onChange(of: scene.chosen) { scene.run(work) }
    }
}

/// One photo on its way to codes and back; on the main actor.
@MainActor
final class TokenizerScene: ObservableObject {
    @Published var chosen: PhotosPickerItem?
    @Published private(set) var photo: UIImage?
    @Published private(set) var reconstruction: UIImage?
    @Published private(set) var summary: String?
    @Published private(set) var state: ScreenState?
    private var running: Task<Void, Never>?

    func run(_ work: Workshop) {
        running?.cancel()
        running = Task { await tokenize(work) }
    }

    private func tokenize(_ work: Workshop) async {
        reconstruction = nil
        summary = nil
        state = .starting
        do {
            await work.start()
            guard let data = try await chosen?.loadTransferable(type: Data.self), let picked = UIImage(data: data),
                let frame = CameraFrame.of(picked)
            else { throw ScreenProblem(state: .failed(reason: "the photo cannot be read; choose another")) }
            photo = picked
            let (codes, bits) = try await self.codes(frame, work)
            let packed = try packCodes(codes, bits: bits)
            summary = "\(codes.count) codes, \(packed.count) bytes instead of \(data.count)"
            let made = try await picture(of: codes, work)
            reconstruction = image(made)
            state = nil
        } catch is CancellationError {
            return
        } catch {
            state = screenState(error)
        }
    }

    /// Return the photo's codes and how many bits each has, by the encoder's number of codes.
    private func codes(_ frame: CameraFrame, _ work: Workshop) async throws -> ([Int], bits: Int) {
        let encoder = try await work.runner(task: "tokenization")
        let count = try encoder.manifest.postprocess?.number("codes", default: 4096) ?? 4096
        guard (2...16_777_216).contains(count) else { throw ContractError("\(count) codes; 2 to 2^24 were expected") }
        let bits = Int.bitWidth - (Int(count) - 1).leadingZeroBitCount
        let name = encoder.manifest.outputs.first?.name ?? ""
        let answer = try await encoder.run(frame) { outputs, _ in outputs[name] ?? [] }
        let codes = try answer.result.map { value in
            guard let code = Int(exactly: value), (0..<Int(count)).contains(code) else {
                throw ContractError("the code \(value); there are \(Int(count))")
            }
            return code
        }
        return (codes, bits)
    }

    /// Ask the server for the picture of codes, by the manifest of the decoder that is beside the encoder's.
    private func picture(of codes: [Int], _ work: Workshop) async throws -> Picture {
        let found = work.artifacts?.of(task: "detokenization").first
        guard let manifest = found?.manifest, let spec = manifest.inputs.first else {
            throw ScreenProblem(state: .noModel(task: "detokenization"))
        }
        let decoder = try DetokenizationTask(manifest.contract)
        let runner = try await work.serverRunner(model: manifest.model, contract: manifest.contract)
        let values = codes.map { Float($0) }
        let input = Input<Picture>(
            tensors: { _ in [spec.name: values] }, decode: { outputs, _ in try decoder.decode(outputs) }
        )
        return try await runner.call(input).result
    }

    private func image(_ picture: Picture) -> UIImage? {
        guard let provider = CGDataProvider(data: Data(picture.rgb) as CFData) else { return nil }
        let made = CGImage(
            width: picture.width, height: picture.height, bitsPerComponent: 8, bitsPerPixel: 24,
            bytesPerRow: 3 * picture.width, space: CGColorSpaceCreateDeviceRGB(),
            bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.none.rawValue), provider: provider, decode: nil,
            shouldInterpolate: true, intent: .defaultIntent
        )
        return made.map { UIImage(cgImage: $0) }
    }
}
