package edge.core.manifest

/** Return every value of a manifest as the Python reference names them; what is written equal was read equal. */
internal fun Manifest.plain(): Map<String, Any?> = mapOf(
    "schema" to SCHEMA,
    "model" to model,
    "task" to task,
    "target" to target,
    "precision" to precision,
    "files" to files.map { mapOf("name" to it.name, "bytes" to it.bytes, "sha256" to it.sha256) },
    "inputs" to inputs.map { it.plain() },
    "outputs" to outputs.map { it.plain() },
    "steps" to steps.map { mapOf("tool" to it.tool, "version" to it.version, "options" to it.options.plain()) },
    "source" to source.run { mapOf("sha256" to sha256, "licence" to licence, "origin" to origin) },
    "needs" to mapOf("min_runtime" to needs.minRuntime, "ram_bytes" to needs.ramBytes),
    "preprocess" to preprocess?.plain(),
    "postprocess" to postprocess?.run { mapOf("decoder" to decoder, "settings" to settings.plain()) },
    "labels" to labels,
    "parity" to parity?.plain(),
    "delegation" to delegation?.plain(),
    "estimates" to estimates,
    "signature" to signature,
    "fallback" to mapOf("policy" to fallback.policy.text, "endpoint" to fallback.endpoint),
)

private fun TensorSpec.plain() =
    mapOf("name" to name, "shape" to shape, "dtype" to dtype.text, "layout" to layout.text)

private fun Preprocess.plain() = mapOf(
    "size" to listOf(size.height, size.width),
    "resize" to resize.text,
    "colour" to colour.text,
    "range" to range,
    "mean" to mean,
    "std" to std,
)

private fun Map<String, Setting>.plain(): Map<String, Any> = mapValues { (_, setting) ->
    when (setting) {
        is Setting.Number -> setting.value
        is Setting.Text -> setting.value
        is Setting.Flag -> setting.value
        is Setting.Numbers -> setting.values
    }
}

private fun Parity.plain() = mapOf(
    "passed" to passed,
    "mode" to mode.text,
    "inputs" to inputs,
    "outputs" to outputs.map {
        mapOf(
            "name" to it.name, "max_abs" to it.maxAbs, "psnr_db" to it.psnrDb, "cosine" to it.cosine,
            "scale" to it.scale, "limit" to it.limit, "limit_psnr_db" to it.limitPsnrDb,
        )
    },
    "task" to task?.run { mapOf("metric" to metric, "value" to value, "limit" to limit) },
    "reason" to reason,
)

private fun Delegation.plain() = mapOf(
    "ops" to ops,
    "by_unit" to byUnit,
    "macs" to macs,
    "macs_by_unit" to macsByUnit,
    "by_backend" to byBackend,
    "rejected" to rejected.map { mapOf("op" to it.op, "count" to it.count, "reason" to it.reason, "hint" to it.hint) },
)
