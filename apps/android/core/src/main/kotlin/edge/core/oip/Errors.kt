package edge.core.oip

import edge.core.json.JsonError
import edge.core.json.JsonReader
import edge.core.json.parseJson

private const val LONGEST = 300 // characters of a message that came from the other side

/** What a server answers instead of a result; `status` is HTTP's. No message holds values of tensors or pixels. */
open class ServeError(message: String, val status: Int = 500) : Exception(message)

/** Report that the server refuses this request: it is a sign of life, and asking again would not help. */
open class RequestError(message: String, status: Int = 400) : ServeError(message, status)

class Unauthenticated(message: String) : RequestError(message, 401)

class Forbidden(message: String) : RequestError(message, 403)

class UnknownModel(message: String) : RequestError(message, 404)

class TooLarge(message: String) : RequestError(message, 413)

class UnsupportedEncoding(message: String) : RequestError(message, 415)

/** Refuse a token that asked more often than it may; come back after `retryAfterS` seconds. */
class TooManyRequests(message: String, val retryAfterS: Int = 1) : ServeError(message, 429)

/** Report an answer that is not the protocol, or not what the model returns. */
open class AnswerError(message: String) : ServeError(message, 502)

/** Report a server that cannot take the request on now; `retryAfterS` is in seconds. */
class Busy(message: String, val retryAfterS: Int = 1) : ServeError(message, 503)

/** Report a request whose deadline passed before there was an answer. */
open class DeadlinePassed(message: String) : ServeError(message, 504)

/**
 * Return the error that an answer with a status other than 200 means; never raises.
 *
 * `retryAfter` is the header's value; a date, or anything else that is no number of seconds, counts as 1.
 */
fun parseError(status: Int, body: ByteArray, retryAfter: String = ""): ServeError {
    val message = "the server answered $status: ${said(body)}"
    val digits = retryAfter.length in 1..6 && retryAfter.all { it in '0'..'9' }
    val seconds = if (digits) retryAfter.toInt() else 1
    return when (status) {
        400 -> RequestError(message)
        401 -> Unauthenticated(message)
        403 -> Forbidden(message)
        404 -> UnknownModel(message)
        413 -> TooLarge(message)
        415 -> UnsupportedEncoding(message)
        429 -> TooManyRequests(message, seconds)
        503 -> Busy(message, seconds)
        504 -> DeadlinePassed(message)
        else -> ServeError(message)
    }
}

private fun said(body: ByteArray): String = try {
    val members = JsonReader(parseJson(utf8(body, 0, body.size))).members()
    printable(members["error"]?.string() ?: throw JsonError("no reason"))
} catch (_: JsonError) {
    "without a reason"
}

/** Return text of the other side on one line without control characters, cut to `longest` characters. */
internal fun printable(text: String, longest: Int = LONGEST): String {
    val shown = StringBuilder()
    for (char in text.take(longest)) shown.append(if (isShown(char)) char else '?')
    if (text.length > longest) shown.append('…')
    return shown.toString()
}

/** Return a name of the other side as it is quoted in messages. */
internal fun shown(name: String): String = "'${printable(name, 80)}'"

private fun isShown(char: Char): Boolean = char == ' ' || when (char.category) {
    CharCategory.CONTROL, CharCategory.FORMAT, CharCategory.UNASSIGNED, CharCategory.PRIVATE_USE,
    CharCategory.LINE_SEPARATOR, CharCategory.PARAGRAPH_SEPARATOR, CharCategory.SPACE_SEPARATOR,
    -> false
    else -> true
}
