import EdgeCore
import Foundation
import os

/// Return what opens artifacts here: Core ML always, ExecuTorch where its package is in the app.
func engines() -> BackendChain {
    var openers: [String: BackendChain.Opener] = ["coreml": { try CoreMLEngine($0) }]
    #if canImport(ExecuTorch)
    for family in ["executorch-xnnpack", "executorch-coreml"] {
        openers[family] = { try ExecuTorchEngine($0) }
    }
    #endif
    return BackendChain(openers: openers, freeRamBytes: Int(os_proc_available_memory()))
}
