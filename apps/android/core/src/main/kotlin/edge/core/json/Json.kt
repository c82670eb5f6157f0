package edge.core.json

/** A value of RFC 8259. Numbers keep their text, so that nothing is rounded before somebody says what it is. */
sealed interface Json

data class JsonObject(val members: Map<String, Json>) : Json {
    /** Return a member, or null where it is absent; a member that is null is JsonNull. */
    operator fun get(name: String): Json? = members[name]
}

data class JsonArray(val items: List<Json>) : Json

data class JsonString(val value: String) : Json

data class JsonNumber(val text: String) : Json

data class JsonBoolean(val value: Boolean) : Json

data object JsonNull : Json

/** Report text that is no JSON, or JSON that is not what was expected; `path` says where, like `files[0].bytes`. */
class JsonError(message: String, val path: String = "") :
    Exception(if (path.isEmpty()) message else "$path: $message")

/** Return the JSON of strings, numbers, booleans, lists, maps and null; raises IllegalArgumentException for others. */
fun jsonOf(value: Any?): Json = when (value) {
    null -> JsonNull
    is Json -> value
    is String -> JsonString(value)
    is Boolean -> JsonBoolean(value)
    is Double -> number(value.isFinite(), value)
    is Float -> number(value.isFinite(), value)
    is Number -> JsonNumber(value.toString())
    is List<*> -> JsonArray(value.map(::jsonOf))
    is Map<*, *> -> JsonObject(value.entries.associate { (name, member) -> name.toString() to jsonOf(member) })
    else -> throw IllegalArgumentException("${value::class.simpleName} has no JSON")
}

private fun number(finite: Boolean, value: Number): Json {
    require(finite) { "$value has no JSON" }
    return JsonNumber(value.toString())
}

/**
 * Return the text of a value, without spaces and needless escapes, as the reference writes it.
 *
 * Half of a surrogate pair stays half: UTF-8 has none, `String.toByteArray` makes a question mark of it.
 */
fun Json.write(): String = StringBuilder().also { it.write(this) }.toString()

private fun StringBuilder.write(value: Json) {
    when (value) {
        is JsonNull -> append("null")
        is JsonBoolean -> append(value.value)
        is JsonNumber -> append(value.text)
        is JsonString -> quote(value.value)
        is JsonArray -> joined('[', ']', value.items) { write(it) }
        is JsonObject -> joined('{', '}', value.members.entries) { (name, member) ->
            quote(name)
            append(':')
            write(member)
        }
    }
}

private fun <T> StringBuilder.joined(open: Char, close: Char, items: Collection<T>, each: (T) -> Unit) {
    append(open)
    items.forEachIndexed { index, item ->
        if (index > 0) append(',')
        each(item)
    }
    append(close)
}

private fun StringBuilder.quote(text: String) {
    append('"')
    for (char in text) {
        when (char) {
            '"', '\\' -> append('\\').append(char)
            '\b' -> append("\\b")
            '\n' -> append("\\n")
            '\u000c' -> append("\\f")
            '\r' -> append("\\r")
            '\t' -> append("\\t")
            else -> if (char < ' ') append("\\u00").append(char.code.toString(16).padStart(2, '0')) else append(char)
        }
    }
    append('"')
}
