package edge.core.files

import java.io.File

/** Where a download stands. */
sealed interface Download {
    /** A server is asked; `bytes` of the file are here already. */
    data class Connecting(val bytes: Long, val total: Long) : Download

    data class Receiving(val bytes: Long, val total: Long) : Download

    /** All bytes are here and are hashed. */
    data object Checking : Download

    /** Nothing more happens. */
    sealed interface End : Download

    /** The file has the size and the SHA-256 that the manifest states, and its final name. */
    data class Done(val file: File) : End

    /** The user stopped it; `bytes` are kept for the next time. */
    data class Cancelled(val bytes: Long) : End

    /** It cannot go on; `bytes` are kept for the next time. The final name has what it had before, or nothing. */
    data class Failed(val failure: Failure, val message: String, val bytes: Long) : End
}

/** Why a download ended; `again` says whether trying later may help without anything being changed. */
enum class Failure(val again: Boolean) {
    /** An address or a redirect that is not https. */
    INSECURE(false),

    /** The server could not prove who it is. */
    UNTRUSTED(false),

    /** The server does not give the file: its status says why. */
    REFUSED(false),

    /** The server is busy or broken: its status says why. */
    UNAVAILABLE(true),

    /** The server cannot be reached, or the connection broke. */
    NETWORK(true),

    /** The server ends the file too early, time and again. */
    TRUNCATED(true),

    /** The server states another size, or sends more. */
    WRONG_SIZE(false),

    /** The server sends another part of the file than it was asked for, or none where it says so. */
    WRONG_RANGE(false),

    /** The bytes are not those that the manifest names. */
    WRONG_DIGEST(false),

    /** The file does not fit the storage. */
    NO_SPACE(false),

    /** The storage cannot be written. */
    STORAGE(false),

    /** Another download of the same file is under way. */
    BUSY(true),
}

/** Ends an attempt; `drop` says that what is here is of no use, `final` that another attempt is of none. */
internal class Trouble(val failure: Failure, message: String, val drop: Boolean = false, val final: Boolean = false) :
    Exception(message)
