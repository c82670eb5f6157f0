package edge.core.app

import edge.core.files.Installer
import edge.core.files.sha256
import java.io.ByteArrayInputStream
import java.io.File
import java.io.FileNotFoundException
import java.io.InputStream
import java.nio.file.Files
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.After
import org.junit.Test

/** Files in memory instead of an app's package. */
private class Packed(private val files: Map<String, ByteArray>) : Assets {
    override fun list(folder: String): List<String> =
        files.keys.filter { it.startsWith("$folder/") }
            .map { it.removePrefix("$folder/").substringBefore('/') }.distinct()

    override fun open(path: String): InputStream =
        ByteArrayInputStream(files[path] ?: throw FileNotFoundException(path))
}

class EmbeddedModelsTest {
    private val root = Files.createTempDirectory("models").toFile()
    private val model = ByteArray(100_000) { (it * 31).toByte() }

    @After
    fun remove() {
        root.deleteRecursively()
    }

    private fun manifest(schema: Int = 1, bytes: ByteArray = model) = """
        {"schema": $schema, "model": "tiny", "task": "segmentation", "target": "onnx-cpu", "precision": "fp32",
         "files": [{"name": "sub/model.onnx", "bytes": ${bytes.size}, "sha256": "${sha256(bytes)}"}],
         "inputs": [{"name": "image", "shape": [1, 3, 8, 8], "layout": "NCHW"}], "outputs": [], "steps": [],
         "source": {"sha256": "${"0".repeat(64)}"}, "needs": {"min_runtime": "1"}}
    """.trimIndent().toByteArray()

    private fun models(files: Map<String, ByteArray>) = EmbeddedModels(Packed(files), Installer(root))

    @Test
    fun anArtifactIsUnpackedOnceAndOpenedAsItIsAfterwards() {
        val models = models(mapOf("models/tiny/manifest.json" to manifest(), "models/tiny/sub/model.onnx" to model))
        assertEquals(listOf("tiny"), models.names())
        assertEquals(listOf("tiny"), models.models("segmentation"))
        assertEquals(emptyList(), models.models("panoptic"))
        assertEquals(listOf("tiny"), models.artifacts("tiny"))
        val found = models.open("tiny") as Found.Ready
        val file = File(found.folder, "sub/model.onnx")
        assertContentEquals(model, file.readBytes())
        val before = file.lastModified()
        assertEquals(found, models.open("tiny"))
        assertEquals(before, file.lastModified())
    }

    @Test
    fun aFileChangedInThePackageIsNeverLeftWhereItCouldBeOpened() {
        val changed = model.clone().also { it[5] = 1 }
        val models = models(mapOf("models/tiny/manifest.json" to manifest(), "models/tiny/sub/model.onnx" to changed))
        assertEquals(Found.Not(ScreenState.Tampered("tiny/sub/model.onnx")), models.open("tiny"))
        assertFalse(root.walk().any { it.isFile })
    }

    @Test
    fun aFileChangedOnTheDeviceIsReplacedByThePackages() {
        val models = models(mapOf("models/tiny/manifest.json" to manifest(), "models/tiny/sub/model.onnx" to model))
        val folder = (models.open("tiny") as Found.Ready).folder
        File(folder, "sub/model.onnx").appendBytes(byteArrayOf(1))
        assertTrue(models.open("tiny") is Found.Ready)
        assertContentEquals(model, File(folder, "sub/model.onnx").readBytes())
    }

    @Test
    fun aNewerSchemaNoManifestAndABrokenOneAreTold() {
        val files = mapOf(
            "models/new/manifest.json" to manifest(schema = 2),
            "models/broken/manifest.json" to "{".toByteArray(),
            "models/none/readme" to ByteArray(0),
        )
        val models = models(files)
        assertEquals(Found.Not(ScreenState.NewerSchema(2)), models.open("new"))
        for (name in listOf("broken", "none")) {
            assertTrue((models.open(name) as Found.Not).state is ScreenState.Failed, name)
            assertNull(models.manifest(name))
        }
    }

    @Test
    fun filesThatAreNotInThePackageAreMissingWhereNothingIsToBeDownloaded() {
        val found = models(mapOf("models/tiny/manifest.json" to manifest())).open("tiny")
        assertTrue((found as Found.Not).state is ScreenState.Failed)
    }
}
