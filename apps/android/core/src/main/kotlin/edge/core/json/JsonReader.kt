package edge.core.json

/** A value and where it stands, read as what is expected there; every mismatch raises JsonError with the place. */
class JsonReader(val value: Json, private val path: String = "") {
    val isNull: Boolean get() = value is JsonNull

    /** Return the members of an object by name; names that are not in `known` raise, unless `known` is null. */
    fun members(known: Set<String>? = null): Map<String, JsonReader> {
        val found = (value as? JsonObject ?: expected("an object")).members
        val strange = known?.let { names -> found.keys.firstOrNull { it !in names } }
        if (strange != null) throw JsonError("the key '${strange.take(40)}' is not known", path)
        val before = if (path.isEmpty()) "" else "$path."
        return Members(path, found.mapValues { (name, member) -> JsonReader(member, before + name) })
    }

    fun items(): List<JsonReader> {
        val found = (value as? JsonArray ?: expected("a list")).items
        return found.mapIndexed { index, item -> JsonReader(item, "$path[$index]") }
    }

    fun string(): String = (value as? JsonString ?: expected("a string")).value

    fun boolean(): Boolean = (value as? JsonBoolean ?: expected("true or false")).value

    fun long(): Long = text().toLongOrNull() ?: expected("a whole number")

    fun int(): Int = text().toIntOrNull() ?: expected("a whole number of 32 bits")

    fun double(): Double = text().toDouble().takeIf { it.isFinite() } ?: expected("a finite number")

    fun float(): Float = double().toFloat()

    /** Return what `read` makes of the value, or null for null. */
    fun <T> orNull(read: JsonReader.() -> T): T? = if (isNull) null else read()

    /** Raise JsonError at this place. */
    fun fail(message: String): Nothing = throw JsonError(message, path)

    private fun text(): String = (value as? JsonNumber ?: expected("a number")).text

    private fun expected(what: String): Nothing = throw JsonError("$what was expected", path)
}

/** The members of the object at `path`, which an error about one that is missing names. */
private class Members(val path: String, found: Map<String, JsonReader>) : Map<String, JsonReader> by found

/** Return the reader of a member that has to be there. */
fun Map<String, JsonReader>.required(name: String): JsonReader =
    this[name] ?: throw JsonError("the key '$name' is missing", (this as? Members)?.path.orEmpty())
