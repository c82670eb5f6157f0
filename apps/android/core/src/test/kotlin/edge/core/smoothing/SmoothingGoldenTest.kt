package edge.core.smoothing

import edge.core.golden.Golden
import edge.core.golden.assertNear
import edge.core.golden.double
import edge.core.golden.int
import edge.core.golden.list
import edge.core.golden.part
import edge.core.golden.text
import edge.core.json.JsonObject
import kotlin.test.assertEquals
import org.junit.Test

private const val TOLERANCE = 1e-12 // of the largest value

class SmoothingGoldenTest {
    private val golden = Golden("smoothing")

    private fun cases(kind: String) = golden.cases.filter { it.text("kind") == kind }

    private fun settings(case: JsonObject) = case.part("settings").let {
        OneEuroSettings(it.double("min_cutoff_hz"), it.double("beta"), it.double("speed_cutoff_hz"))
    }

    @Test
    fun `numbers become the reference's`() {
        assertEquals(10, cases("scalar").size)
        for (case in cases("scalar")) {
            val times = golden.longs(case["times"])
            val values = golden.doubles(case["values"])
            val resets = case.list("resets").map { it.int() }
            val filter = OneEuro(settings(case))
            val found = DoubleArray(values.size) { step ->
                if (step in resets) filter.reset()
                filter.smooth(values[step], times[step], case.double("scale"))
            }
            assertNear(case.text("name"), golden.doubles(case["smoothed"]), found, TOLERANCE)
        }
    }

    @Test
    fun `landmarks become the reference's`() {
        assertEquals(3, cases("landmarks").size)
        for (case in cases("landmarks")) {
            val times = golden.longs(case["times"])
            val values = golden.doubles(case["values"])
            val visibility = golden.doubles(case["visibility"])
            val count = visibility.size / times.size
            val resets = case.list("resets").map { it.int() }
            assertEquals(LANDMARK_SETTINGS, settings(case))
            val smoother = LandmarkSmoother(count)
            val found = ArrayList<Double>()
            for (step in times.indices) {
                if (step in resets) smoother.reset()
                val points = values.copyOfRange(step * count * 3, (step + 1) * count * 3)
                val seen = visibility.copyOfRange(step * count, (step + 1) * count)
                smoother.smooth(points, seen, times[step], case.double("scale"))
                found.addAll(points.asList())
            }
            assertNear(case.text("name"), golden.doubles(case["smoothed"]), found.toDoubleArray(), TOLERANCE)
        }
    }
}
