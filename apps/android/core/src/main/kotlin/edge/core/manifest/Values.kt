package edge.core.manifest

import edge.core.json.JsonArray
import edge.core.json.JsonBoolean
import edge.core.json.JsonNumber
import edge.core.json.JsonReader
import edge.core.json.JsonString

internal fun <T> JsonReader.list(read: JsonReader.() -> T): List<T> = items().map { it.read() }

internal fun <T> JsonReader.map(read: JsonReader.() -> T): Map<String, T> = members().mapValues { it.value.read() }

internal fun <T> JsonReader.exactly(count: Int, read: JsonReader.() -> T): List<T> {
    val found = list(read)
    return if (found.size == count) found else fail("$count values were expected, ${found.size} are given")
}

internal fun <T> JsonReader.choice(choices: Array<T>, text: (T) -> String): T {
    val found = string()
    return choices.firstOrNull { text(it) == found }
        ?: fail("'${found.take(40)}' is none of ${choices.joinToString { "'${text(it)}'" }}")
}

/** A decoder's setting: a number, a text or a list of numbers. */
internal fun JsonReader.decoderSetting(): Setting = setting(flags = false, lists = true)

/** A tool's option: a number, a text or true or false. */
internal fun JsonReader.option(): Setting = setting(flags = true, lists = false)

private fun JsonReader.setting(flags: Boolean, lists: Boolean): Setting {
    val found = value
    return when {
        found is JsonNumber -> Setting.Number(double())
        found is JsonString -> Setting.Text(found.value)
        found is JsonBoolean && flags -> Setting.Flag(found.value)
        found is JsonArray && lists -> Setting.Numbers(list { double() })
        else -> fail("a number, a text or ${if (flags) "true or false" else "a list of numbers"} was expected")
    }
}
