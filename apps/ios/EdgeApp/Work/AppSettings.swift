import EdgeCore
import Foundation
import Security

/// What the user chose; everything but the token is in the defaults, the token is in the keychain of this device.
struct AppSettings: Equatable, Sendable {
    var mode = Mode.onlyOnDevice
    var consent = Consent.unset
    var backend = ""  // a candidate's name, empty for the first that opens
    var server = ""
    var token = ""

    static func read() -> AppSettings {
        let defaults = UserDefaults.standard
        var found = AppSettings()
        found.mode = defaults.string(forKey: "mode").flatMap { Mode(rawValue: $0) } ?? .onlyOnDevice
        found.consent = defaults.string(forKey: "consent").flatMap { Consent(rawValue: $0) } ?? .unset
        found.backend = defaults.string(forKey: "backend") ?? ""
        found.server = defaults.string(forKey: "server") ?? ""
        found.token = readToken()
        return found
    }

    func write() {
        let defaults = UserDefaults.standard
        defaults.set(mode.rawValue, forKey: "mode")
        defaults.set(consent.rawValue, forKey: "consent")
        defaults.set(backend, forKey: "backend")
        defaults.set(server, forKey: "server")
        writeToken(token)
    }

    /// Return the endpoint of a model, nil without a server; throws EndpointError for an address that is none.
    func endpoint(model: String) throws -> Endpoint? {
        try server.isEmpty ? nil : Endpoint(server, model: model, token: token)
    }
}

private let tokenQuery: [String: String] = [
    kSecClass as String: kSecClassGenericPassword as String,
    kSecAttrService as String: "edge.server",
    kSecAttrAccount as String: "token",
]

private func readToken() -> String {
    var query: [String: Any] = tokenQuery
    query[kSecReturnData as String] = true
    var found: CFTypeRef?
    guard SecItemCopyMatching(query as CFDictionary, &found) == errSecSuccess else { return "" }
    guard let data = found as? Data else { return "" }
    return String(data: data, encoding: .utf8) ?? ""
}

private func writeToken(_ token: String) {
    SecItemDelete(tokenQuery as CFDictionary)
    guard !token.isEmpty else { return }
    var item: [String: Any] = tokenQuery
    item[kSecValueData as String] = Data(token.utf8)
    item[kSecAttrAccessible as String] = kSecAttrAccessibleWhenUnlockedThisDeviceOnly as String  // in no backup
    SecItemAdd(item as CFDictionary, nil)
}
