package edge.core.app

/** Return a quantile, 0 to 1, of values in any order, by linear interpolation between its neighbours. */
fun quantile(values: List<Double>, share: Double): Double {
    require(values.isNotEmpty()) { "a quantile needs at least one value" }
    require(share in 0.0..1.0) { "a quantile of $share was asked for; it is from 0 to 1" }
    val sorted = values.sorted()
    val place = share * (sorted.size - 1)
    val below = place.toInt()
    val above = minOf(below + 1, sorted.size - 1)
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below)
}
