package edge.core.manifest

import edge.core.json.JsonReader
import edge.core.json.required

internal fun JsonReader.parity(): Parity {
    val found = members(setOf("passed", "mode", "inputs", "outputs", "task", "reason"))
    return Parity(
        passed = found.required("passed").boolean(),
        mode = found.required("mode").choice(Mode.values()) { it.text },
        inputs = found.required("inputs").string(),
        outputs = found["outputs"]?.list { outputParity() }.orEmpty(),
        task = found["task"]?.orNull { taskParity() },
        reason = found["reason"]?.string().orEmpty(),
    )
}

private fun JsonReader.outputParity(): OutputParity {
    val found = members(setOf("name", "max_abs", "psnr_db", "cosine", "scale", "limit", "limit_psnr_db"))
    return OutputParity(
        name = found.required("name").string(),
        maxAbs = found.required("max_abs").double(),
        psnrDb = found.required("psnr_db").double(),
        cosine = found.required("cosine").double(),
        scale = found.required("scale").double(),
        limit = found.required("limit").double(),
        limitPsnrDb = found["limit_psnr_db"]?.orNull { double() },
    )
}

private fun JsonReader.taskParity(): TaskParity {
    val found = members(setOf("metric", "value", "limit"))
    return TaskParity(
        found.required("metric").string(),
        found.required("value").double(),
        found.required("limit").double(),
    )
}

internal fun JsonReader.delegation(): Delegation {
    val found = members(setOf("ops", "by_unit", "macs", "macs_by_unit", "by_backend", "rejected"))
    return Delegation(
        ops = found.required("ops").long(),
        byUnit = found.required("by_unit").map { long() },
        macs = found["macs"]?.long() ?: 0,
        macsByUnit = found["macs_by_unit"]?.map { long() }.orEmpty(),
        byBackend = found["by_backend"]?.map { long() }.orEmpty(),
        rejected = found["rejected"]?.list { rejected() }.orEmpty(),
    )
}

private fun JsonReader.rejected(): Rejected {
    val found = members(setOf("op", "count", "reason", "hint"))
    return Rejected(
        found.required("op").string(),
        found.required("count").long(),
        found["reason"]?.string().orEmpty(),
        found["hint"]?.string().orEmpty(),
    )
}
