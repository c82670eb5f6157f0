package edge.core.manifest

import edge.core.json.Json
import edge.core.json.JsonArray
import edge.core.json.JsonBoolean
import edge.core.json.JsonObject
import edge.core.json.JsonString
import edge.core.json.parseJson
import edge.core.json.write
import java.io.File
import java.util.Base64

/** One case of golden/manifest/cases.json: a file, and what the Python reference makes of it. */
internal class ManifestCase(val name: String, val data: ByteArray, val verdict: String, val read: Json?)

/** Return the cases; where the apps are stricter than the reference, they refuse. */
internal fun manifestCases(): List<ManifestCase> {
    val text = File(System.getProperty("golden"), "manifest/cases.json").readText()
    val cases = ((parseJson(text) as JsonObject)["cases"] as JsonArray).items.map { it as JsonObject }
    val full = parseJson(cases.first { it.text("name") == "full" }.text("text"))
    return cases.map { case ->
        val verdict = if (case["stricter"] == null) case.text("verdict") else "refuse"
        ManifestCase(case.text("name"), case.bytes(full), verdict, case["read"])
    }
}

private fun JsonObject.bytes(full: Json): ByteArray {
    val edits = this["edits"] as JsonArray?
    return when {
        edits != null -> edits.items.fold(full) { json, edit -> json.edited(edit as JsonObject) }.write().toByteArray()
        this["base64"] != null -> Base64.getDecoder().decode(text("base64"))
        else -> text("text").toByteArray()
    }
}

private fun JsonObject.text(name: String): String = (this[name] as JsonString).value

private fun Json.edited(edit: JsonObject): Json {
    val path = (edit["set"] ?: edit["remove"]) as JsonString
    return edited(path.value.split('.'), edit["to"])
}

private fun Json.edited(path: List<String>, to: Json?): Json = when (this) {
    is JsonArray -> JsonArray(
        items.mapIndexed { n, item -> if (n != path[0].toInt()) item else item.edited(path.drop(1), to) },
    )
    is JsonObject -> when {
        path.size > 1 -> JsonObject(members + (path[0] to members.getValue(path[0]).edited(path.drop(1), to)))
        to == null -> JsonObject(members - path[0])
        else -> JsonObject(members + (path[0] to to))
    }
    is JsonBoolean -> error("no place $path in true or false")
    else -> to ?: error("no place $path")
}
