package edge.core.app

import edge.core.json.Json
import edge.core.json.jsonOf
import edge.core.json.write
import edge.core.manifest.FileEntry
import edge.core.manifest.Manifest
import java.security.MessageDigest

/** Say what the device is; what it does not tell is empty. */
data class DeviceRecord(
    val name: String,
    val soc: String,
    val system: String,
    val machine: String, // aarch64, x86_64
    val cores: Int,
    val ramBytes: Long,
    val emulated: Boolean,
)

/** One reading of what disturbs a measurement; `atS` is in seconds since the profile began, null is unknown. */
data class DeviceState(
    val atS: Double,
    val thermal: String = "unknown",
    val batteryCelsius: Double? = null,
    val batteryPercent: Double? = null,
    val charging: Boolean? = null,
)

/** One artifact that was measured: what it is, what ran it, and its one launch; null where it did not open. */
data class Measured(
    val manifest: Manifest,
    val runtime: String, // name and version
    val backend: String,
    val launch: Launch?,
    val state: DeviceState?,
    val problem: String = "",
)

/** What an app cannot measure, in the words of profile.json. */
private const val NO_OPERATORS = "an app cannot see the time of a runtime's operators; use edge profile --device adb"
private const val NO_ENERGY = "an app cannot read the power rails; use edge profile --device adb"
private const val NO_GATE = "an app has no idle device to wait for; the thermal status before the launch is recorded"

/**
 * Return profile.json (schema/profile.schema.json) of what the app measured.
 *
 * An app measures in its own process, once: `launches` is 1, so that there is no interval, nor memory of a process of
 * its own; `cold_load_ms` is of the first opening since the app began, with whatever of the file the system holds.
 */
fun profileJson(
    date: String,
    kit: String,
    device: DeviceRecord,
    protocol: Protocol,
    measured: List<Measured>,
): Json = jsonOf(
    mapOf(
        "schema" to 1,
        "date" to date,
        "kit" to kit,
        "device" to device.fields(),
        "thermal_gate" to "unavailable",
        "gate_reason" to NO_GATE,
        "protocol" to protocol.fields(),
        "variants" to measured.zip(names(measured)).mapIndexed { order, (item, name) ->
            item.fields(order, name, protocol, device)
        },
    ),
)

private fun DeviceRecord.fields() = mapOf(
    "id" to "app",
    "name" to name,
    "soc" to soc,
    "system" to system,
    "machine" to machine,
    "cores" to cores,
    "ram_bytes" to ramBytes,
    "emulated" to emulated,
)

private fun Protocol.fields() = mapOf(
    "launches" to 1,
    "min_runs" to minRuns,
    "min_seconds" to minSeconds,
    "warmup_runs" to warmupRuns,
    "warmup_seconds" to warmupSeconds,
    "seed" to seed,
    "threads" to threads,
)

/** Name variants uniquely: TARGET@PRECISION, the model before it if there are several, a number after equal ones. */
private fun names(measured: List<Measured>): List<String> {
    val several = measured.map { it.manifest.model }.toSet().size > 1
    val plain = measured.map { (manifest) ->
        (if (several) "${manifest.model}/" else "") + "${manifest.target}@${manifest.precision}"
    }
    return plain.mapIndexed { index, name ->
        val before = plain.take(index).count { it == name }
        if (before == 0) name else "$name#${before + 1}"
    }
}

private fun Measured.fields(order: Int, name: String, protocol: Protocol, device: DeviceRecord): Map<String, Any?> {
    val whole = launch?.takeIf { it.problem.isEmpty() && it.runsNs.isNotEmpty() }
    return mapOf(
        "name" to name,
        "artifact" to "${manifest.model}/$name",
        "sha256" to filesDigest(manifest.files),
        "model" to manifest.model,
        "target" to manifest.target,
        "precision" to manifest.precision,
        "harness" to "app",
        "runtime" to if (backend.isEmpty()) runtime else "$runtime ($backend)",
        "threads" to protocol.threads,
        "inputs" to "random",
        "emulated" to device.emulated,
        "launches" to listOfNotNull(launch?.fields(order, state)),
        "estimate" to whole?.estimate(),
        "operators_reason" to NO_OPERATORS,
        "energy_reason" to NO_ENERGY,
        "problem" to problem.ifEmpty { launch?.problem.orEmpty() },
    )
}

private fun Launch.fields(order: Int, state: DeviceState?) = mapOf(
    "order" to order,
    "cold_load_ns" to coldLoadNs,
    "warm_load_ns" to warmLoadNs,
    "first_ns" to firstNs,
    "warmup_ns" to warmupNs,
    "steady" to steady,
    "runs_ns" to runsNs,
    "state" to state?.fields(),
    "problem" to problem,
)

private fun DeviceState.fields() = mapOf(
    "at_s" to atS,
    "thermal" to thermal,
    "celsius" to batteryCelsius?.let { mapOf("battery" to it) }.orEmpty(),
    "battery_percent" to batteryPercent,
    "charging" to charging,
)

/** Estimate as edge/profile/estimate.py does for one launch: quantiles within it, and no intervals. */
private fun Launch.estimate(): Map<String, Any?> {
    val ms = runsNs.map { it / 1e6 }
    val median = quantile(ms, 0.5)
    return mapOf(
        "launches" to 1,
        "runs" to ms.size,
        "median_ms" to median,
        "ci95_ms" to null,
        "p90_ms" to quantile(ms, 0.9),
        "p99_ms" to quantile(ms, 0.99),
        "min_ms" to ms.min(),
        "first_ms" to firstNs / 1e6,
        "cold_load_ms" to coldLoadNs / 1e6,
        "warm_load_ms" to warmLoadNs?.let { it / 1e6 },
        "modes" to listOf(mapOf("median_ms" to median, "launches" to 1)),
    )
}

/** Return the hex SHA-256 of the manifest's list of files, as the profiler writes it: equal for equal artifacts. */
fun filesDigest(files: List<FileEntry>): String {
    val listed = jsonOf(files.map { mapOf("name" to it.name, "bytes" to it.bytes, "sha256" to it.sha256) })
    val digest = MessageDigest.getInstance("SHA-256").digest(listed.write().toByteArray())
    return digest.joinToString("") { "%02x".format(it) }
}
