package edge.core.app

import edge.core.files.Cancel
import edge.core.files.Installation
import edge.core.files.Installer
import edge.core.files.checkFiles
import edge.core.manifest.MANIFEST
import edge.core.manifest.Manifest
import edge.core.manifest.ManifestError
import edge.core.manifest.readManifest
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream
import java.net.URI

/** Files inside the app's package; paths have no slash at their ends. */
interface Assets {
    /** Return the names in a folder; none where there is no such folder. */
    fun list(folder: String): List<String>

    /** Open a file; raises FileNotFoundException where there is none. */
    fun open(path: String): InputStream
}

/** An artifact that was looked at: ready, or what the screen says instead. */
sealed interface Found {
    data class Ready(val folder: File, val manifest: Manifest) : Found

    data class Not(val state: ScreenState) : Found
}

/**
 * The artifacts that `edge embed` put into the app: models/NAME/manifest.json and the files that it names.
 *
 * Runtimes open files, so that an artifact is unpacked to private storage, once, and every digest is checked before
 * anything is opened. Files that are not in the package are downloaded from below `base`/NAME, if there is one.
 */
class EmbeddedModels(
    private val assets: Assets,
    private val installer: Installer,
    private val base: URI? = null,
) {
    fun names(): List<String> = assets.list(FOLDER).sorted()

    /** Return a manifest without unpacking anything; null where it cannot be used. */
    fun manifest(name: String): Manifest? = try {
        readManifest(read(name))
    } catch (_: ManifestError) {
        null
    } catch (_: IOException) {
        null
    }

    /** Return the models of a task, each once, in the order of their names. */
    fun models(task: String): List<String> =
        names().mapNotNull(::manifest).filter { it.task == task }.map { it.model }.distinct().sorted()

    /** Return the names of a model's artifacts. */
    fun artifacts(model: String): List<String> = names().filter { manifest(it)?.model == model }

    /** Unpack or download an artifact, unless it is here already, and check it. Takes long; not for the main thread. */
    fun open(name: String, cancel: Cancel = Cancel(), onState: (Installation) -> Unit = {}): Found = try {
        val data = read(name)
        val manifest = readManifest(data)
        val folder = installer.folder(data)
        when {
            File(folder, MANIFEST).isFile && checkFiles(folder, manifest) == null -> Found.Ready(folder, manifest)
            isPacked(name, manifest) -> unpacked(name, data, manifest, folder)
            else -> downloaded(name, data, cancel, onState)
        }
    } catch (error: ManifestError) {
        Found.Not(stateOf(error))
    } catch (error: IOException) {
        Found.Not(ScreenState.Failed("$name: ${error.message}"))
    }

    private fun read(name: String): ByteArray = assets.open("$FOLDER/$name/$MANIFEST").use { it.readBytes() }

    private fun isPacked(name: String, manifest: Manifest): Boolean = try {
        manifest.files.forEach { assets.open("$FOLDER/$name/${it.name}").close() }
        true
    } catch (_: FileNotFoundException) {
        false
    }

    private fun unpacked(name: String, data: ByteArray, manifest: Manifest, folder: File): Found {
        val staging = File(folder.path + ".unpacking")
        staging.deleteRecursively()
        for (entry in manifest.files) {
            val to = File(staging, entry.name)
            to.parentFile?.mkdirs()
            assets.open("$FOLDER/$name/${entry.name}").use { from -> to.outputStream().use(from::copyTo) }
        }
        val wrong = checkFiles(staging, manifest)
        if (wrong != null) {
            staging.deleteRecursively()
            return Found.Not(ScreenState.Tampered("$name/${wrong.name}"))
        }
        File(staging, MANIFEST).writeBytes(data) // last: a folder with a manifest is whole
        folder.deleteRecursively()
        if (!staging.renameTo(folder)) throw IOException("${staging.name} could not be renamed to ${folder.name}")
        return Found.Ready(folder, manifest)
    }

    private fun downloaded(name: String, data: ByteArray, cancel: Cancel, onState: (Installation) -> Unit): Found {
        val from = base
            ?: return Found.Not(ScreenState.Failed("$name: its files are neither in the app nor to be downloaded"))
        val end = installer.install(data, URI("${from.toString().trimEnd('/')}/$name"), cancel, onState)
        if (end is Installation.Installed) return Found.Ready(end.folder, end.manifest)
        return Found.Not(stateOf(end) ?: ScreenState.Failed("$name: the download was stopped"))
    }

    private companion object {
        const val FOLDER = "models"
    }
}
