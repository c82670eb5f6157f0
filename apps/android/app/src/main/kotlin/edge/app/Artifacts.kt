package edge.app

import edge.app.engines.open
import edge.core.app.Found
import edge.core.app.ScreenState
import edge.core.app.fits
import edge.core.app.inOrder
import edge.core.backend.Candidate
import edge.core.backend.NoBackend
import edge.core.client.EngineUnsupported
import edge.core.client.OnDevice
import edge.core.files.sha256
import java.io.File

/**
 * A model's artifacts that are whole, in the order in which they are tried, and what is to be said of the others.
 *
 * Those that take or return something else than the first one are left out: its contract is what screens work with.
 */
data class Checked(val artifacts: List<Candidate>, val states: List<ScreenState>)

/** Unpack and check every artifact of a model. Takes long; not for the main thread. */
fun EdgeApplication.check(model: String): Checked {
    val found = models.artifacts(model).map(models::open)
    val whole = found.filterIsInstance<Found.Ready>().map { Candidate(it.folder, it.manifest, version(it)) }
    val ordered = inOrder(whole, settings.backends)
    val alike = ordered.filter { fits(it.manifest.contract, ordered.first().manifest.contract) }
    return Checked(alike, found.filterIsInstance<Found.Not>().map { it.state })
}

/** Return the device's side of a model; `told` is given how it opened. */
fun EdgeApplication.onDevice(artifacts: List<Candidate>, told: (String) -> Unit): OnDevice {
    val first = artifacts.first().manifest
    val units = settings.backends
    return OnDevice(
        contract = first.contract,
        model = first.model,
        modelSha256 = first.source.sha256,
        open = {
            try {
                val taken = open(artifacts, units, crashes(first.model))
                told("${taken.way.runtime.family} ${taken.way.unit}")
                taken.engine
            } catch (error: NoBackend) {
                throw EngineUnsupported(error.message.orEmpty(), error)
            }
        },
    )
}

private fun EdgeApplication.crashes(model: String): File =
    File(noBackupFilesDir, "crashes/${sha256(model.toByteArray())}.json")

/** An artifact's folder is named by its manifest's digest; the app's own version is when it was installed last. */
private fun EdgeApplication.version(artifact: Found.Ready): String {
    val installed = packageManager?.getPackageInfo(packageName, 0)?.lastUpdateTime ?: 0L
    return "${artifact.folder.name}/$installed"
}
