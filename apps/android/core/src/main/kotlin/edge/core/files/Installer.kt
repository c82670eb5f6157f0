package edge.core.files

import edge.core.manifest.MANIFEST
import edge.core.manifest.Manifest
import edge.core.manifest.ManifestError
import edge.core.manifest.readManifest
import java.io.File
import java.io.IOException
import java.net.URI

/** Where the installation of an artifact stands. */
sealed interface Installation {
    /** A file is on its way; `bytes` of `total` of the whole artifact are here. */
    data class Running(val file: String, val bytes: Long, val total: Long, val state: Download) : Installation

    sealed interface End : Installation

    /** The folder holds the manifest and every file that it names, each with its size and SHA-256. */
    data class Installed(val folder: File, val manifest: Manifest) : End

    /** The user stopped it; what is here is kept for the next time. */
    data class Cancelled(val bytes: Long) : End

    /** One file could not be had; what is here is kept for the next time. Nothing was installed. */
    data class Failed(val file: String, val failure: Failure, val message: String) : End

    /** The manifest itself cannot be used; nothing was downloaded. */
    data class Refused(val error: ManifestError) : End
}

/**
 * Installs artifacts below `root`: MODEL/TARGET@PRECISION/VERSION, where the version is the manifest's own SHA-256.
 *
 * A folder of that name is there wholly or not at all. The manifest has to come from where the app trusts it, its own
 * package for example; the files may then come from anywhere.
 */
class Installer(private val root: File, private val downloader: Downloader = Downloader()) {
    /** Return the folder of an artifact, installed or not. */
    fun folder(manifest: ByteArray): File = folder(readManifest(manifest), manifest)

    /** Download the files that `manifest` names from below `base` and return how it ended. */
    fun install(
        manifest: ByteArray,
        base: URI,
        cancel: Cancel = Cancel(),
        onState: (Installation) -> Unit = {},
    ): Installation.End {
        val end = try {
            install(manifest, readManifest(manifest), base, cancel, onState)
        } catch (error: ManifestError) {
            Installation.Refused(error)
        } catch (error: IOException) {
            Installation.Failed(MANIFEST, Failure.STORAGE, error.message.orEmpty())
        }
        onState(end)
        return end
    }

    private fun install(
        data: ByteArray,
        manifest: Manifest,
        base: URI,
        cancel: Cancel,
        onState: (Installation) -> Unit,
    ): Installation.End {
        val folder = folder(manifest, data)
        if (isInstalled(folder, manifest)) return Installation.Installed(folder, manifest)
        val staging = File(folder.path + ".installing")
        val parts = File(folder.path + ".parts")
        spaceLacks(manifest, staging, parts)?.let { return Installation.Failed(folder.name, Failure.NO_SPACE, it) }
        var before = 0L
        manifest.files.forEachIndexed { n, entry ->
            val to = File(staging, entry.name)
            val end = downloader.download(address(base, entry.name), entry, to, File(parts, "$n"), cancel) {
                onState(Installation.Running(entry.name, before + bytes(it, entry.bytes), manifest.bytes, it))
            }
            when (end) {
                is Download.Done -> before += entry.bytes
                is Download.Cancelled -> return Installation.Cancelled(before + end.bytes)
                is Download.Failed -> return Installation.Failed(entry.name, end.failure, end.message)
            }
        }
        finish(staging, parts, folder, manifest, data)
        return Installation.Installed(folder, manifest)
    }

    /** A large artifact is not begun where only a part of it fits. */
    private fun spaceLacks(manifest: Manifest, staging: File, parts: File): String? {
        val here = manifest.files.withIndex().sumOf { (n, entry) ->
            minOf(entry.bytes, maxOf(File(staging, entry.name).length(), File(parts, "$n").length()))
        }
        return try {
            downloader.checkSpace(staging, manifest.bytes - here)
            null
        } catch (trouble: Trouble) {
            trouble.message
        }
    }

    /** The manifest is written last: a folder with one is whole. */
    private fun finish(staging: File, parts: File, folder: File, manifest: Manifest, data: ByteArray) {
        val known = manifest.files.map { it.name }.toSet()
        staging.walkBottomUp().filter { it.isFile && it.relativeTo(staging).invariantSeparatorsPath !in known }
            .forEach { it.delete() }
        writeFlushed(File(staging, MANIFEST), data)
        staging.walk().filter { it.isDirectory }.forEach(::flushFolder)
        folder.deleteRecursively()
        moveAtomic(staging, folder)
        parts.deleteRecursively()
    }

    private fun folder(manifest: Manifest, data: ByteArray): File {
        val version = sha256(data).take(VERSION_DIGITS)
        val names = listOf(manifest.model, "${manifest.target}@${manifest.precision}", version)
        return names.fold(root) { folder, name -> File(folder, name.replace(UNSAFE, "-")) }
    }

    private fun isInstalled(folder: File, manifest: Manifest): Boolean =
        File(folder, MANIFEST).isFile && checkFiles(folder, manifest) == null

    private fun bytes(state: Download, whole: Long): Long = when (state) {
        is Download.Connecting -> state.bytes
        is Download.Receiving -> state.bytes
        is Download.Checking, is Download.Done -> whole
        is Download.Cancelled -> state.bytes
        is Download.Failed -> state.bytes
    }
}

private const val VERSION_DIGITS = 16
private val UNSAFE = Regex("[^A-Za-z0-9@._-]|^\\.+")

/** Return the address of a file below `base`; every part of its name is escaped. */
internal fun address(base: URI, name: String): URI {
    val path = URI(null, null, "/$name", null).toASCIIString()
    return URI(base.toString().trimEnd('/') + path)
}

private fun writeFlushed(file: File, data: ByteArray) {
    file.parentFile?.mkdirs()
    file.outputStream().use {
        it.write(data)
        it.fd.sync()
    }
}
