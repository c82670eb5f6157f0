package edge.core.backend

import edge.core.manifest.Manifest
import java.io.File

/** A target's id: RUNTIME-BACKEND[:CHIP], `executorch-qnn:SM8650` for example. */
data class TargetId(val family: String, val chip: String = "") {
    override fun toString(): String = if (chip.isEmpty()) family else "$family:$chip"

    companion object {
        fun of(text: String): TargetId = TargetId(text.substringBefore(':'), text.substringAfter(':', ""))
    }
}

/** An artifact in its folder that may be run; `version` changes whenever the app or the artifact does. */
data class Candidate(val folder: File, val manifest: Manifest, val version: String = "") {
    val target: TargetId get() = TargetId.of(manifest.target)

    /** The artifact's name, unique among those of one model. */
    val name: String get() = "${manifest.target}@${manifest.precision}"
}

/** What a device offers; a null is not known, and keeps nothing from being tried. */
data class Device(
    /** Every model number of the chip, as Android's SOC_MODEL and its maker name it. */
    val chips: Set<String> = emptySet(),
    val freeRamBytes: Long? = null,
)

/** Say of one candidate why it was not taken. */
data class NotTaken(val name: String, val reason: String)

/** Report that none of the candidates could be opened. */
class NoBackend(val notTaken: List<NotTaken>) : Exception(
    if (notTaken.isEmpty()) {
        "there is no artifact to open; embed one with `edge embed`"
    } else {
        "no artifact could be opened: " + notTaken.joinToString("; ") { "${it.name}: ${it.reason}" }
    },
)
