package edge.core.app

import edge.core.json.write
import edge.core.manifest.readManifest
import java.io.File

/** Print the profile.json of two artifacts, one with made-up times and one that did not open, for the reference to read. */
fun main(arguments: Array<String>) {
    val manifest = readManifest(File(arguments[0]).readBytes())
    val launch = Launch(
        coldLoadNs = 12_345_678,
        warmLoadNs = 2_345_678,
        firstNs = 9_876_543,
        warmupNs = List(20) { 5_000_000L + it * 1_000 },
        steady = true,
        runsNs = List(31) { 5_000_000L + (it * 7919L % 31) * 10_000 },
    )
    val state = DeviceState(0.5, "light", 31.5, 80.0, false)
    val device = DeviceRecord("Maker Phone", "SM8650", "Android 16 (API 36)", "aarch64", 8, 8L shl 30, emulated = false)
    val measured = listOf(
        Measured(manifest, "litert", "gpu", launch, state),
        Measured(manifest, "", "", null, null, "no unit takes it"),
    )
    println(profileJson("2026-11-22T08:00:00Z", "0.1.0", device, Protocol(), measured).write())
}
