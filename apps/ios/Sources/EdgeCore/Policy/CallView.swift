/// A call's derived quantities: which sides are open, and their times.
struct CallView {
    let deviceBlocked: Reason?
    let serverBlocked: Reason?
    let deviceMs: Double?
    let serverMs: Double?
    let hedgeBaseMs: Double?  // the server's p95, as the device sees it
    let isHot: Bool
    let isLow: Bool

    /// Say whether the device should work only where it must.
    var isSpared: Bool { isHot || isLow }

    init(_ call: Call) {
        let hot = call.device.thermal.isHot || (call.device.thermalHeadroom ?? 0) >= HOT_HEADROOM
        isHot = hot
        isLow = CallView.isLow(call.device)
        deviceBlocked = CallView.deviceBlock(call)
        serverBlocked = CallView.serverBlock(call)
        deviceMs = CallView.deviceMs(call, isHot: hot)
        serverMs = CallView.serverMs(call, call.server.p90Ms)
        hedgeBaseMs = CallView.serverMs(call, call.server.p95Ms ?? call.server.p90Ms)
    }

    private static func deviceBlock(_ call: Call) -> Reason? {
        if call.mode == .onlyServer { return .modeOnlyServer }
        if !call.model.present { return .modelAbsent }
        if !call.model.supported { return .unitUnsupported }
        if let peak = call.model.peakBytes, let available = call.device.availableBytes {
            if Double(peak) > MEMORY_SHARE * Double(available) { return .memoryShort }
        }
        return nil
    }

    private static func serverBlock(_ call: Call) -> Reason? {
        if call.mode == .onlyOnDevice { return .modeOnlyOnDevice }
        return privacyBlock(call) ?? reachBlock(call)
    }

    private static func privacyBlock(_ call: Call) -> Reason? {
        switch call.consent {
        case .denied: return .consentDenied
        case .unset: return .consentUnset
        case .granted: return call.dataClass == .mayUpload ? nil : .dataLocalOnly
        }
    }

    private static func reachBlock(_ call: Call) -> Reason? {
        if !call.server.configured { return .noServer }
        if !call.network.online { return .offline }
        if call.server.breaker == .open { return .breakerOpen }
        if call.network.metered != false && call.payloadBytes > call.meteredCapBytes { return .overMeteredCap }
        return nil
    }

    private static func isLow(_ device: Device) -> Bool {
        let isEmpty = device.batteryPercent.map { $0 < LOW_BATTERY_PERCENT } ?? false
        return (isEmpty && device.charging != true) || device.lowPower
    }

    private static func deviceMs(_ call: Call, isHot: Bool) -> Double? {
        guard let p90 = call.model.p90Ms else { return nil }
        return min(p90 * thermalFactor(call, isHot: isHot), LONGEST_MS)
    }

    private static func thermalFactor(_ call: Call, isHot: Bool) -> Double {
        if !isHot && call.device.thermal != .moderate { return 1 }
        if let ratio = call.model.sustainedRatio { return max(1, ratio) }
        return isHot ? HOT_FACTOR : MODERATE_FACTOR
    }

    private static func serverMs(_ call: Call, _ quantileMs: Double?) -> Double? {
        guard let rtt = call.network.rttMs, let uplink = call.network.uplinkBitsPerS, let quantileMs else { return nil }
        let upload = uplink == 0 ? LONGEST_MS : Double(call.payloadBytes) * 8000.0 / uplink
        return min(rtt + upload + call.server.queueMs + quantileMs, LONGEST_MS)
    }
}
