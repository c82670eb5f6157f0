import EdgeCore
import SwiftUI

/// Where models run, what may be sent, which backend is tried first, and the server.
struct SettingsScreen: View {
    @ObservedObject var work: Workshop
    @StateObject private var form = SettingsForm()

    var body: some View {
        NavigationStack {
            Form {
                Section("Where models run") {
                    Picker("Mode", selection: $form.settings.mode) {
                        Text("On this device only").tag(Mode.onlyOnDevice)
                        Text("On this device, on the server when it cannot").tag(Mode.preferOnDevice)
                        Text("On the server, on this device when it cannot").tag(Mode.preferServer)
                        Text("On the server only").tag(Mode.onlyServer)
                    }
                    .pickerStyle(.inline)
                    .labelsHidden()
                }
                Section {
                    Toggle(
                        "I agree that pictures, and codes made of pictures, are sent to the server below.",
                        isOn: consent
                    )
                } header: {
                    Text("Sending")
                } footer: {
                    Text("Without this, nothing is sent. When you take it back, what is on its way is cut off at once.")
                }
                Section("Backend that is tried first") {
                    Picker("Backend", selection: $form.settings.backend) {
                        Text("The first that opens").tag("")
                        ForEach(names, id: \.self) { Text($0).tag($0) }
                    }
                }
                Section("Server") {
                    TextField("https://models.example.org", text: $form.settings.server)
                        .textInputAutocapitalization(.never).autocorrectionDisabled().keyboardType(.URL)
                    SecureField("Token; it stays in this app and in no backup", text: $form.settings.token)
                    Button("Save") { save() }
                    if let problem = form.problem { Text(problem).foregroundStyle(.red) }
                }
            }
            .navigationTitle("Settings")
        }
        .task { await work.start() }
        .onAppear { form.settings = work.settings }
        .onChange(of: form.settings.mode) { save() }
        .onChange(of: form.settings.backend) { save() }
    }

    private var names: [String] {
        let all = (work.artifacts?.candidates ?? []).map(\.name)
        return Set(all).sorted()
    }

    /// Consent is taken at once, back too: nothing waits for another button.
    private var consent: Binding<Bool> {
        Binding(
            get: { form.settings.consent == .granted },
            set: { isGranted in
                form.settings.consent = isGranted ? .granted : .denied
                save()
            }
        )
    }

    private func save() {
        var changed = form.settings
        do {
            _ = try changed.endpoint(model: "model")
            form.problem = nil
        } catch {
            form.problem = String(describing: error)
            changed.server = work.settings.server  // a half typed address keeps no consent from being taken back
        }
        let settings = changed
        Task { await work.apply(settings) }
    }
}

/// What the user is typing.
@MainActor
final class SettingsForm: ObservableObject {
    @Published var settings = AppSettings()
    @Published var problem: String?
}
