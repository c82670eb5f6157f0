package edge.core.client

import edge.core.json.JsonReader
import edge.core.json.jsonOf
import edge.core.json.parseJson
import edge.core.json.required
import edge.core.json.write
import edge.core.manifest.Contract
import edge.core.manifest.DType
import edge.core.manifest.Layout
import edge.core.manifest.TensorSpec
import edge.core.policy.Consent
import edge.core.policy.DataClass
import edge.core.policy.Mode
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Base64

/**
 * A client for a real server, driven by lines on standard input: `granted`, `denied`, or a mode and a deadline in
 * milliseconds. Every line is answered by one of JSON. tests/apps/test_kotlin_client_live.py is its other half.
 */
fun main(arguments: Array<String>) {
    val settings = JsonReader(parseJson(File(arguments[0]).readText())).members()
    val contract = Contract(
        settings.required("inputs").items().map(::tensor), settings.required("outputs").items().map(::tensor),
    )
    val endpoint = Endpoint(
        settings.required("url").string(), settings.required("model").string(),
        token = settings.required("token").string(),
        authorities = File(settings.required("authorities").string()).readText(),
    )
    // Stands for a phone's runtime, which is not here: it says zeros, so that nobody takes them for the server's.
    val engine = Engine { contract.outputs.associate { it.name to FloatArray(it.count) } }
    val device = OnDevice(contract, "stand-in", "") { engine }
    val picture = File(settings.required("picture").string()).readBytes()
    val width = settings.required("width").int()
    val height = settings.required("height").int()
    val policy = Policy(mode = Mode.PREFER_SERVER, dataClass = DataClass.MAY_UPLOAD)
    FallbackRunner(device, endpoint, policy, network = { WIFI }).use { runner ->
        for (line in generateSequence(::readlnOrNull)) {
            val input = Input(
                tensors = { own -> own.inputs.associate { it.name to FloatArray(it.count) } },
                picture = PictureFile(width, height) { picture },
            ) { outputs, _ -> outputs }
            println(answer(runner, input, line))
            System.out.flush()
        }
    }
}

private fun answer(runner: FallbackRunner, input: Input<Map<String, FloatArray>>, line: String): String {
    val words = line.split(' ')
    if (words.size == 1) {
        runner.consent = Consent.entries.first { it.code == line }
        return jsonOf(mapOf("consent" to line)).write()
    }
    val began = nowMs()
    val found = try {
        val mode = Mode.entries.first { it.code == words[0] }
        val answer = runner.call(input, deadlineMs = words[1].toDouble(), mode = mode)
        mapOf("answer" to answer.toJson(), "outputs" to answer.outputs.mapValues { (_, values) -> encoded(values) })
    } catch (error: CallFailed) {
        mapOf("failed" to error.toString())
    } catch (error: DeadlineMissed) {
        mapOf("missed" to error.toString())
    } catch (error: Unavailable) {
        mapOf("unavailable" to error.toString())
    }
    return jsonOf(found + ("took_ms" to nowMs() - began)).write()
}

private fun encoded(values: FloatArray): String {
    val raw = ByteBuffer.allocate(values.size * 4).order(ByteOrder.LITTLE_ENDIAN)
    raw.asFloatBuffer().put(values)
    return Base64.getEncoder().encodeToString(raw.array())
}

private fun tensor(value: JsonReader): TensorSpec = with(value.members()) {
    val dtype = required("dtype").string()
    TensorSpec(
        required("name").string(), required("shape").items().map { it.int() }, DType.entries.first { it.text == dtype },
        Layout.valueOf(required("layout").string()),
    )
}
