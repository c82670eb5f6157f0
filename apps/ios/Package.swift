// swift-tools-version: 5.9
// EdgeCore alone: builds and is tested on macOS and Linux. The app is made by XcodeGen from project.yml.

import PackageDescription

let package = Package(
    name: "EdgeCore",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [.library(name: "EdgeCore", targets: ["EdgeCore"])],
    targets: [
        .target(
            name: "EdgeCore",
            path: "Sources/EdgeCore",
            swiftSettings: [.enableExperimentalFeature("StrictConcurrency")]
        ),
        .testTarget(name: "EdgeCoreTests", dependencies: ["EdgeCore"], path: "Tests/EdgeCoreTests"),
    ]
)
