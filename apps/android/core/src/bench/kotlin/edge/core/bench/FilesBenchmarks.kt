package edge.core.bench

import edge.core.files.sha256
import edge.core.json.JsonArray
import edge.core.json.JsonObject
import edge.core.json.JsonString
import edge.core.json.parseJson
import edge.core.manifest.readManifest
import java.io.File

/** What happens once an artifact is installed or opened. */
fun main() {
    val bytes = ByteArray(16 shl 20) { (it * 31).toByte() }
    val cases = parseJson(File(System.getProperty("golden"), "manifest/cases.json").readText()) as JsonObject
    val manifest = (cases["cases"] as JsonArray).items.map { it as JsonObject }
        .mapNotNull { (it["text"] as JsonString?)?.value }.first()
    var kept: Any?
    benchmark("files/sha256-16MiB") { kept = sha256(bytes) }
    benchmark("manifest/read-${manifest.length}-chars") { kept = readManifest(manifest) }
    benchmark("harness/empty") { }
}
