package edge.core.json

private const val MOST_CHARS = 4 shl 20
private const val DEEPEST = 64

/**
 * Return the value of a text of RFC 8259; nothing but white space may follow it.
 *
 * Raises JsonError for anything else, for a name that an object has twice, for more than 4 Mi characters and for values
 * nested deeper than 64.
 */
fun parseJson(text: String): Json {
    if (text.length > MOST_CHARS) throw JsonError("the text has ${text.length} characters; $MOST_CHARS are taken")
    return JsonParser(text).whole()
}

private class JsonParser(private val text: String) {
    private var at = 0

    fun whole(): Json {
        val value = value(0)
        skipSpace()
        if (at < text.length) fail("something follows the value")
        return value
    }

    private fun value(depth: Int): Json {
        if (depth > DEEPEST) fail("values are nested deeper than $DEEPEST")
        skipSpace()
        return when (peek()) {
            '{' -> members(depth)
            '[' -> items(depth)
            '"' -> JsonString(string())
            't' -> word("true", JsonBoolean(true))
            'f' -> word("false", JsonBoolean(false))
            'n' -> word("null", JsonNull)
            else -> number()
        }
    }

    private fun members(depth: Int): Json {
        val found = LinkedHashMap<String, Json>()
        list('}') {
            if (peek() != '"') fail("a name in quotes was expected")
            val name = string()
            skipSpace()
            take(':')
            if (found.put(name, value(depth + 1)) != null) fail("the name '${name.take(40)}' comes twice")
        }
        return JsonObject(found)
    }

    private fun items(depth: Int): Json {
        val found = ArrayList<Json>()
        list(']') { found.add(value(depth + 1)) }
        return JsonArray(found)
    }

    private fun list(close: Char, item: () -> Unit) {
        at++
        skipSpace()
        if (peek() == close) {
            at++
            return
        }
        while (true) {
            skipSpace()
            item()
            skipSpace()
            if (peek() == close) break
            take(',')
        }
        at++
    }

    private fun string(): String {
        at++
        val found = StringBuilder()
        while (true) {
            when (val char = next()) {
                '"' -> return found.toString().also(::checkPairs)
                '\\' -> found.append(escaped())
                else -> if (char < ' ') fail("a control character stands in a string") else found.append(char)
            }
        }
    }

    /** Half of a surrogate pair is no character: it could not be written as UTF-8 again. */
    private fun checkPairs(string: String) {
        var index = 0
        while (index < string.length) {
            val code = string.codePointAt(index)
            if (code in 0xD800..0xDFFF) fail("a string has half of a surrogate pair")
            index += Character.charCount(code)
        }
    }

    private fun escaped(): Char = when (val char = next()) {
        '"', '\\', '/' -> char
        'b' -> '\b'
        'f' -> '\u000c'
        'n' -> '\n'
        'r' -> '\r'
        't' -> '\t'
        'u' -> unicode()
        else -> fail("\\$char is no escape")
    }

    private fun unicode(): Char {
        val digits = text.substring(at, minOf(at + 4, text.length))
        val code = if (digits.length == 4 && digits.all(::isHex)) digits.toInt(16) else fail("\\u needs four digits")
        at += 4
        return code.toChar()
    }

    private fun isHex(char: Char) = char in '0'..'9' || char in 'a'..'f' || char in 'A'..'F'

    private fun number(): Json {
        val begin = at
        if (peek() == '-') at++
        if (peek() == '0') at++ else digits()
        if (peek() == '.') {
            at++
            digits()
        }
        if (peek() == 'e' || peek() == 'E') {
            at++
            if (peek() == '+' || peek() == '-') at++
            digits()
        }
        return JsonNumber(text.substring(begin, at))
    }

    private fun digits() {
        val begin = at
        while (peek() in '0'..'9') at++
        if (at == begin) fail(if (at < text.length) "'${text[at]}' begins no value" else "the text ends too early")
    }

    private fun word(word: String, value: Json): Json {
        if (!text.startsWith(word, at)) fail("'$word' was expected")
        at += word.length
        return value
    }

    private fun take(char: Char) {
        if (next() != char) fail("'$char' was expected")
    }

    private fun next(): Char = if (at < text.length) text[at++] else fail("the text ends too early")

    private fun peek(): Char = if (at < text.length) text[at] else '\u0000'

    private fun skipSpace() {
        while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') at++
    }

    private fun fail(what: String): Nothing = throw JsonError("$what (at character $at)")
}
