package edge.core.files

import edge.core.json.jsonOf
import edge.core.json.write
import java.io.File
import java.net.URI
import java.util.Random
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class InstallerTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val files = mapOf(
        "delegation.json" to "{}".toByteArray(),
        "model.mlpackage/Data/weight ä%.bin" to ByteArray(150_000).also { Random(3).nextBytes(it) },
        "model.pte" to ByteArray(70_000).also { Random(4).nextBytes(it) },
        "none.bin" to ByteArray(0),
    )
    private val manifest = manifest(files)
    private val root: File get() = File(folder.root, "artifacts")
    private val installer: Installer get() = Installer(root, Downloader(tries = 2, pauseMs = { 0 }))

    @Test
    fun everyFileIsThereOrNone(): Unit = server { name -> files.getValue(name) }.use { server ->
        val states = mutableListOf<Installation>()
        val done = assertIs<Installation.Installed>(installer.install(manifest, server.root, onState = states::add))
        assertEquals(installer.folder(manifest), done.folder)
        for ((name, data) in files) assertContentEquals(data, File(done.folder, name).readBytes(), name)
        assertContentEquals(manifest, File(done.folder, "manifest.json").readBytes())
        assertEquals(listOf(done.folder.name), done.folder.parentFile.list()?.toList())
        val bytes = states.filterIsInstance<Installation.Running>().map { it.bytes }
        assertEquals(bytes.sorted(), bytes)
        assertEquals(files.values.sumOf { it.size.toLong() }, bytes.last())
        val asked = server.asked.size
        assertIs<Installation.Installed>(installer.install(manifest, server.root))
        assertEquals(asked, server.asked.size, "what is installed is not asked for")
    }

    @Test
    fun aFileThatCannotBeHadInstallsNothingAndTheRestIsKept(): Unit = server { name ->
        if (name == "model.pte") null else files.getValue(name)
    }.use { server ->
        val failed = assertIs<Installation.Failed>(installer.install(manifest, server.root))
        assertEquals("model.pte" to Failure.REFUSED, failed.file to failed.failure)
        assertFalse(installer.folder(manifest).exists())
        val asked = server.asked.size
        server.answer = { exchange, asking -> exchange.send(files.getValue(asking.path.drop(1)), asking) }
        assertIs<Installation.Installed>(installer.install(manifest, server.root))
        assertEquals(asked + 1, server.asked.size, "only what was missing is asked for")
    }

    @Test
    fun aTamperedFileInstallsNothing(): Unit = server { name ->
        files.getValue(name).copyOf().also { if (name == "model.pte") it[9] = (it[9] + 1).toByte() }
    }.use { server ->
        val failed = assertIs<Installation.Failed>(installer.install(manifest, server.root))
        assertEquals("model.pte" to Failure.WRONG_DIGEST, failed.file to failed.failure)
        assertFalse(installer.folder(manifest).exists())
    }

    @Test
    fun whatWasDamagedAfterwardsIsInstalledAgain(): Unit = server { name -> files.getValue(name) }.use { server ->
        val done = assertIs<Installation.Installed>(installer.install(manifest, server.root))
        File(done.folder, "model.pte").writeBytes(ByteArray(70_000))
        assertEquals("model.pte", checkFiles(done.folder, done.manifest)?.name)
        assertIs<Installation.Installed>(installer.install(manifest, server.root))
        assertEquals(null, checkFiles(done.folder, done.manifest))
    }

    @Test
    fun whatTheManifestDoesNotNameIsNotInstalled(): Unit = server { name -> files.getValue(name) }.use { server ->
        File(installer.folder(manifest).path + ".installing/lib").mkdirs()
        File(installer.folder(manifest).path + ".installing/lib/other.so").writeText("x")
        val done = assertIs<Installation.Installed>(installer.install(manifest, server.root))
        assertFalse(File(done.folder, "lib/other.so").exists())
    }

    @Test
    fun aManifestThatLeadsOutsideIsRefusedBeforeAnythingIsAsked(): Unit = server { ByteArray(1) }.use { server ->
        for (name in listOf("../model.pte", "/model.pte", "manifest.json", "a\\b")) {
            assertIs<Installation.Refused>(installer.install(manifest(mapOf(name to ByteArray(1))), server.root), name)
        }
        assertIs<Installation.Refused>(installer.install("{\"schema\": 2}".toByteArray(), server.root))
        assertEquals(0, server.asked.size)
        assertFalse(root.exists())
    }

    @Test
    fun aModelsNameCannotLeadOutsideTheRoot() {
        val folder = installer.folder(manifest(files, model = "../../..")).canonicalFile
        assertTrue(folder.startsWith(root.canonicalFile) && folder != root.canonicalFile, "$folder")
    }

    @Test
    fun aFileAndAFolderOfOneNameAreAStateNotACrash(): Unit = server { ByteArray(1) }.use { server ->
        val both = manifest(mapOf("a" to ByteArray(1), "a/b" to ByteArray(1)))
        assertEquals(Failure.STORAGE, assertIs<Installation.Failed>(installer.install(both, server.root)).failure)
    }

    @Test
    fun aCancelKeepsWhatIsHere(): Unit = server { name -> files.getValue(name) }.use { server ->
        val cancel = Cancel()
        val end = installer.install(manifest, server.root, cancel) { state ->
            if (state is Installation.Running && state.file == "model.pte") cancel.cancel()
        }
        assertIs<Installation.Cancelled>(end)
        assertFalse(installer.folder(manifest).exists())
        assertIs<Installation.Installed>(installer.install(manifest, server.root))
    }

    @Test
    fun anArtifactThatDoesNotFitIsNotBegun(): Unit = server { name -> files.getValue(name) }.use { server ->
        val total = files.values.sumOf { it.size.toLong() }
        val tight = Installer(root, Downloader(freeBytes = { total - 1 }))
        val failed = assertIs<Installation.Failed>(tight.install(manifest, server.root))
        assertEquals(Failure.NO_SPACE, failed.failure)
        assertEquals(0, server.asked.size)
        val enough = Installer(root, Downloader(freeBytes = { total }))
        assertIs<Installation.Installed>(enough.install(manifest, server.root))
    }

    @Test
    fun namesAreEscapedInAddresses() {
        val base = URI("https://example.com/models/")
        assertEquals("https://example.com/models/a%20b/%C3%A4%25%23%3F", address(base, "a b/ä%#?").toString())
        assertEquals("https://example.com/models/C:x", address(base, "C:x").toString())
        assertEquals("/models//x", address(base, "/x").rawPath)
    }

    private fun server(file: (String) -> ByteArray?) = FileServer { exchange, asked ->
        val data = file(asked.path.drop(1))
        if (data == null) exchange.sendHead(404, 0) else exchange.send(data, asked)
    }

    private fun manifest(files: Map<String, ByteArray>, model: String = "m"): ByteArray = jsonOf(
        mapOf(
            "schema" to 1, "model" to model, "task" to "tensors", "target" to "litert-qualcomm:SM8650",
            "precision" to "int8", "inputs" to listOf(mapOf("name" to "x", "shape" to listOf(1, 2))),
            "outputs" to emptyList<Any>(), "steps" to emptyList<Any>(), "source" to mapOf("sha256" to ""),
            "needs" to mapOf("min_runtime" to ""),
            "files" to files.map { (name, data) ->
                mapOf("name" to name, "bytes" to data.size, "sha256" to sha256(data))
            },
        ),
    ).write().toByteArray()
}
