package edge.core.files

import java.io.Closeable
import java.io.File
import java.io.IOException
import java.io.RandomAccessFile
import java.net.URI
import java.nio.channels.FileChannel
import java.nio.channels.OverlappingFileLockException
import java.nio.file.Files
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardCopyOption.REPLACE_EXISTING
import java.nio.file.StandardOpenOption.READ

/**
 * What is here of a file, and beside it what names the version that it is of: the server's address and validator.
 *
 * It is locked until it is closed. Every method raises Trouble when the storage fails.
 */
internal class PartFile(private val file: File) : Closeable {
    private val versionFile = File(file.path + ".version")
    private val open: RandomAccessFile = onDisk {
        file.parentFile?.mkdirs()
        RandomAccessFile(file, "rw")
    }

    init {
        try {
            if (!locks()) throw Trouble(Failure.BUSY, "${file.name} is being downloaded already", final = true)
        } catch (trouble: Trouble) {
            open.close()
            throw trouble
        }
    }

    val bytes: Long get() = onDisk { open.length() }

    /** Return the validator that the bytes are of, or null where another address or nothing is known. */
    fun validator(from: URI): String? {
        val lines = try {
            versionFile.readText().split('\n')
        } catch (_: IOException) {
            return null
        }
        return if (lines.size == 2 && lines[0] == from.toString()) lines[1] else null
    }

    /** Empty the file, then write down the version that is to come: no bytes ever have another's version. */
    fun restart(from: URI?, validator: String?) = onDisk {
        open.setLength(0)
        if (from == null || validator == null) versionFile.delete() else versionFile.writeText("$from\n$validator")
    }

    fun append(buffer: ByteArray, count: Int) = onDisk {
        open.seek(open.length())
        open.write(buffer, 0, count)
    }

    /** Bring the bytes to the disk itself. */
    fun flush() = onDisk { open.fd.sync() }

    fun digest(): String = onDisk { sha256(file) }

    /** Give the file its final name, all at once, replacing what has it. */
    fun renameTo(to: File) = onDisk {
        to.parentFile?.mkdirs()
        moveAtomic(file, to)
        versionFile.delete()
    }

    /** An empty part is of no use to anybody. */
    override fun close() {
        val empty = open.length() == 0L
        open.close()
        if (empty) {
            file.delete()
            versionFile.delete()
        }
    }

    private fun locks(): Boolean = onDisk {
        try {
            open.channel.tryLock() != null
        } catch (_: OverlappingFileLockException) {
            false
        }
    }

    private fun <T> onDisk(block: () -> T): T = try {
        block()
    } catch (error: IOException) {
        val full = error.message.orEmpty().contains("No space left") || error.message.orEmpty().contains("ENOSPC")
        val failure = if (full) Failure.NO_SPACE else Failure.STORAGE
        throw Trouble(failure, "${file.name}: ${error.message}", final = true)
    }
}

/** Rename a file or folder all at once and bring the new name to the disk. */
internal fun moveAtomic(from: File, to: File) {
    Files.move(from.toPath(), to.toPath(), ATOMIC_MOVE, REPLACE_EXISTING)
    flushFolder(to.absoluteFile.parentFile)
}

/** Bring a folder's names to the disk, on systems where a folder can be opened. */
internal fun flushFolder(folder: File) {
    try {
        FileChannel.open(folder.toPath(), READ).use { it.force(true) }
    } catch (_: IOException) {
        return
    }
}
