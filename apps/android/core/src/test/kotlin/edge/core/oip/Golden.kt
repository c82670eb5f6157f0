package edge.core.oip

import edge.core.json.JsonReader
import edge.core.json.parseJson
import edge.core.json.required
import java.io.File
import java.util.Base64

/** Return the cases of a file of apps/shared/golden/oip. */
internal fun goldenCases(name: String): List<Map<String, JsonReader>> {
    val file = JsonReader(parseJson(File(System.getProperty("golden"), "oip/$name.json").readText())).members()
    check(file.required("schema").int() == 1)
    return file.required("cases").items().map { it.members() }
}

internal fun Map<String, JsonReader>.bytes(name: String): ByteArray =
    Base64.getDecoder().decode(required(name).string())

internal fun Map<String, JsonReader>.longs(name: String): List<Long> = required(name).items().map { it.long() }

internal fun datatype(value: JsonReader): Datatype = Datatype.of(value.string()) ?: value.fail("no datatype")
