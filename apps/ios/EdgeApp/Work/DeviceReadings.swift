import EdgeCore
import Foundation
import Network
import UIKit
import os

/// Return how the device is now; docs/policy.md maps the system's thermal states.
@Sendable
func deviceNow() -> Device {
    var device = Device()
    switch ProcessInfo.processInfo.thermalState {
    case .nominal: device.thermal = .none
    case .fair: device.thermal = .light
    case .serious: device.thermal = .severe
    case .critical: device.thermal = .critical
    @unknown default: device.thermal = .unknown
    }
    device.lowPower = ProcessInfo.processInfo.isLowPowerModeEnabled
    device.availableBytes = Int(os_proc_available_memory())
    return device
}

/// Return how the network is now: constrained and expensive ones are metered.
@Sendable
func networkNow() -> EdgeCore.Network {
    var network = EdgeCore.Network()
    guard let path = PathWatch.shared.path else { return network }
    network.online = path.status == .satisfied
    network.metered = path.isExpensive || path.isConstrained
    return network
}

/// Keeps the system's latest word on the network; nothing is sent to learn it.
private final class PathWatch: @unchecked Sendable {  // the monitor is safe by itself
    static let shared = PathWatch()

    private let monitor = NWPathMonitor()
    private let latest = Locked<NWPath?>(nil)

    var path: NWPath? { latest.with { $0 } }

    private init() {
        let latest = self.latest
        monitor.pathUpdateHandler = { path in latest.with { $0 = path } }
        monitor.start(queue: DispatchQueue(label: "edge-path"))
    }
}
