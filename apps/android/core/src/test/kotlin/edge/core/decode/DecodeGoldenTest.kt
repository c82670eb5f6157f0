package edge.core.decode

import edge.core.golden.Golden
import edge.core.golden.assertNear
import edge.core.golden.contract
import edge.core.golden.double
import edge.core.golden.getValue
import edge.core.golden.has
import edge.core.golden.int
import edge.core.golden.list
import edge.core.golden.part
import edge.core.golden.text
import edge.core.image.Frame
import edge.core.image.Region
import edge.core.json.JsonBoolean
import edge.core.json.JsonObject
import edge.core.json.JsonString
import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import edge.core.manifest.Resize
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Test

private const val TOLERANCE = 2e-7 // of the largest value
private const val EXACT = 1e-12 // where the reference computes in doubles

class DecodeGoldenTest {
    private val golden = Golden("decode")

    private fun each(task: String, count: Int, check: (String, Contract, JsonObject) -> Unit) {
        val cases = golden.cases.filter { it.text("name").startsWith("$task/") || it.text("name") == task }
        assertEquals(count, cases.size)
        for (case in cases) {
            val name = case.text("name")
            val contract = case.contract("manifest")
            if (case.getValue("raises") == JsonBoolean(true)) {
                assertFailsWith<ContractError>(name) { check(name, contract, case) }
            } else {
                check(name, contract, case)
            }
        }
    }

    private fun outputs(case: JsonObject): Map<String, FloatArray> =
        case.part("outputs").members.mapValues { golden.floats(it.value) }

    @Test
    fun detections() = each("detection", 19) { name, contract, case ->
        val found = PoseDetection(contract).decode(outputs(case), case.frame(contract)).items
        val result = case.part("result")
        assertNear(name, golden.doubles(result["scores"]), DoubleArray(found.size) { found[it].score }, EXACT)
        assertNear(name, golden.doubles(result["boxes"]), joined(found.map { it.box }), EXACT)
        assertNear(name, golden.doubles(result["keypoints"]), joined(found.map { it.keypoints }), EXACT)
        assertNear(name, golden.doubles(result["regions"]), joined(found.map { it.region().numbers() }), EXACT)
    }

    @Test
    fun landmarks() = each("landmarks", 15) { name, contract, case ->
        val pose = Pose()
        val decoder = PoseLandmarks(contract)
        repeat(2) { decoder.decode(outputs(case), case.frame(contract), pose) } // the second into used memory
        val result = case.part("result")
        assertNear(name, golden.doubles(result["score"]), doubleArrayOf(pose.score), EXACT)
        assertEquals(result.getValue("found"), JsonBoolean(pose.found), name)
        assertNear("$name points", golden.doubles(result["points"]), pose.points, EXACT)
        assertNear("$name visibility", golden.doubles(result["visibility"]), pose.visibility, EXACT)
        assertNear("$name presence", golden.doubles(result["presence"]), pose.presence, EXACT)
        assertNear("$name world", golden.doubles(result["world"]), pose.world, EXACT)
        val mask = pose.mask
        if (result.has("mask")) {
            assertNear("$name mask", golden.floats(result["mask"]), assertNotNull(mask), TOLERANCE)
        } else {
            assertNull(mask, name)
        }
        val next = pose.nextRegion
        if (result.has("next_region")) {
            val expected = result.list("next_region").map { it.double() }.toDoubleArray()
            assertNear("$name next", expected, assertNotNull(next, name).numbers(), EXACT)
        } else {
            assertNull(next, name)
        }
    }

    @Test
    fun segmentations() = each("segmentation", 28) { name, contract, case ->
        val task = SegmentationTask(contract)
        repeat(2) { task.decode(outputs(case), case.frame(contract)) }
        val found = task.decode(outputs(case), case.frame(contract))
        val result = case.part("result")
        assertEquals(case.list("image_hw").map { it.int() }, listOf(found.height, found.width), name)
        assertContentEquals(golden.bytes(result["classes"]), found.classes, name)
        assertEquals(result.list("labels").map { (it as JsonString).value }, found.labels, name)
        val probability = found.probability
        val layer = IntArray(found.classes.size)
        if (result.has("probability")) {
            assertNear(name, golden.floats(result["probability"]), assertNotNull(probability), TOLERANCE)
            MaskLayer().draw(probability, layer)
        } else {
            assertNull(probability)
            ClassLayer().draw(found.classes, layer)
        }
        assertContentEquals(golden.ints(result["layer"]), layer, name)
    }

    @Test
    fun `panoptic segments`() = each("panoptic", 20) { name, contract, case ->
        val found = PanopticTask(contract).decode(outputs(case), case.frame(contract))
        val result = case.part("result")
        assertContentEquals(golden.shorts(result["ids"]), found.ids, name)
        val expected = result.list("segments").map { it as JsonObject }
        assertEquals(expected.map { it.int("id") }, found.segments.map { it.id }, name)
        assertEquals(expected.map { it.int("category") }, found.segments.map { it.category }, name)
        assertEquals(expected.map { it.text("label") }, found.segments.map { it.label }, name)
        assertEquals(expected.map { it.getValue("is_thing") }, found.segments.map { JsonBoolean(it.isThing) }, name)
        assertEquals(expected.map { it.int("area") }, found.segments.map { it.area }, name)
        val scores = found.segments.map { it.score }.toDoubleArray()
        assertNear(name, golden.doubles(result["scores"]), scores, TOLERANCE)
    }

    @Test
    fun pictures() = each("picture", 5) { name, contract, case ->
        val task = DetokenizationTask(contract)
        val pixels = IntArray(task.width * task.height)
        task.decode(outputs(case), pixels)
        val expected = golden.bytes(case.part("result")["pixels"])
        for (index in pixels.indices) {
            for (channel in 0 until 3) {
                assertEquals(expected[3 * index + channel], (pixels[index] shr (16 - 8 * channel)).toByte(), name)
            }
            assertEquals(0xff, pixels[index] ushr 24)
        }
    }

    @Test
    fun codes() {
        val cases = golden.head.list("codes").map { it as JsonObject }
        assertTrue(cases.size >= 48)
        for (case in cases) {
            val bits = case.int("bits")
            val codes = golden.ints(case["codes"])
            if (!case.has("packed")) {
                assertFailsWith<IllegalArgumentException> { packCodes(codes, bits) }
                continue
            }
            val packed = golden.bytes(case["packed"])
            assertContentEquals(packed, packCodes(codes, bits))
            assertContentEquals(codes, unpackCodes(packed, codes.size, bits))
        }
    }
}

private fun JsonObject.frame(contract: Contract): Frame {
    val (imageHeight, imageWidth) = list("image_hw").map { it.int() }
    val (height, width) = list("tensor_hw").map { it.int() }
    val frame = Frame()
    if (has("region")) {
        val (x, y, side, rotation) = list("region").map { it.double() }
        return frame.setRegion(imageWidth, imageHeight, width, height, Region(x, y, side, rotation))
    }
    return when (contract.preprocess?.resize) {
        Resize.LETTERBOX -> frame.setLetterbox(imageWidth, imageHeight, width, height)
        Resize.CORNER -> frame.setCorner(imageWidth, imageHeight, width, height)
        else -> frame.setStretch(imageWidth, imageHeight, width, height)
    }
}

private fun Region.numbers() = doubleArrayOf(centreX, centreY, side, rotation)

private fun joined(arrays: List<DoubleArray>) = arrays.flatMap { it.asList() }.toDoubleArray()
