import EdgeCore
import SwiftUI
import UIKit

/// A screen's state in words, and the button of what can be done about it.
struct StateView: View {
    let state: ScreenState
    let onRemedy: () -> Void
    @Environment(\.openURL) private var openURL

    var body: some View {
        VStack(alignment: .leading, spacing: 6) {
            Text(state.text)
            if case .running(_, _, let times?) = state {
                Text(
                    "prepare \(milliseconds(times.preNs)) · model \(milliseconds(times.inferenceNs)) · "
                        + "decode \(milliseconds(times.postNs)) ms"
                )
                .font(.caption.monospacedDigit())
            }
            if let label { Button(label, action: act) }
        }
        .frame(maxWidth: .infinity, alignment: .leading)
        .padding(10)
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 10))
    }

    private var label: String? {
        switch state.remedy {
        case .none: return nil
        case .askCamera: return "Allow the camera"
        case .openSystemSettings: return "Open the system's settings"
        case .openSettings: return "Try again with the settings changed"
        case .downloadAgain: return "Try again"
        case .updateApp: return "Look for an update"
        case .tryAgain: return "Try again"
        }
    }

    private func act() {
        let address: String?
        switch state.remedy {
        case .openSystemSettings: address = UIApplication.openSettingsURLString
        case .updateApp: address = "itms-apps://"
        default: address = nil
        }
        if let url = address.flatMap({ URL(string: $0) }) {
            openURL(url)
        } else {
            onRemedy()
        }
    }
}

func milliseconds(_ nanoseconds: UInt64) -> String { String(format: "%.1f", Double(nanoseconds) / 1e6) }
