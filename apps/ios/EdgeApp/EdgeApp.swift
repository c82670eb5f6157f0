import SwiftUI

/// The sample app: a camera with a model on top, a tokenizer, a benchmark, and what the user has to say to them.
@main
struct EdgeApp: App {
    @StateObject private var work = Workshop()

    var body: some Scene {
        WindowGroup {
            TabView {
                CameraScreen(work: work).tabItem { Label("Camera", systemImage: "camera") }
                TokenizerScreen(work: work).tabItem { Label("Tokens", systemImage: "square.grid.3x3") }
                BenchmarkScreen(work: work).tabItem { Label("Measure", systemImage: "stopwatch") }
                SettingsScreen(work: work).tabItem { Label("Settings", systemImage: "gear") }
            }
        }
    }
}
