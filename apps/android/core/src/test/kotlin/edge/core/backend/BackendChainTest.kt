package edge.core.backend

import edge.core.manifest.Manifest
import edge.core.manifest.Mode
import edge.core.manifest.Needs
import edge.core.manifest.Parity
import edge.core.manifest.Source
import edge.core.manifest.TensorSpec
import java.io.File
import java.io.IOException
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class BackendChainTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val log: File get() = File(folder.root, "state/backend.json")
    private val qnn = candidate("executorch-qnn:SM8650", "int8")
    private val gpu = candidate("executorch-vulkan")
    private val cpu = candidate("litert-cpu")
    private val all = listOf(qnn, gpu, cpu)
    private val works: Map<String, (Candidate) -> String> =
        listOf("executorch-qnn", "executorch-vulkan", "litert-cpu").associateWith { { found -> found.name } }

    @Test
    fun theFirstThatOpensIsTaken() {
        val opened = chain(works).open(all)
        assertEquals("executorch-qnn:SM8650@int8", opened.engine)
        assertEquals(qnn, opened.candidate)
        assertEquals(emptyList(), opened.notTaken)
    }

    @Test
    fun everyReasonIsRecordedInOrder() {
        val refusing = works + ("executorch-vulkan" to { _ -> throw IOException("no Vulkan 1.1") })
        val opened = chain(refusing, Device(chips = setOf("SM8750", "sun"))).open(all)
        assertEquals("litert-cpu@fp32", opened.engine)
        assertEquals(
            listOf(
                NotTaken("executorch-qnn:SM8650@int8", "it is for SM8650, not for SM8750 or sun"),
                NotTaken("executorch-vulkan@fp32", "IOException: no Vulkan 1.1"),
            ),
            opened.notTaken,
        )
    }

    @Test
    fun aLibraryThatIsMissingAndMemoryThatIsAreReasonsToo() {
        val refusing: Map<String, (Candidate) -> String> = mapOf(
            "executorch-qnn" to { _ -> throw UnsatisfiedLinkError("libQnnHtp.so") },
            "executorch-vulkan" to { _ -> throw OutOfMemoryError() },
        )
        val error = assertFailsWith<NoBackend> { chain(refusing).open(all) }
        val reasons = error.notTaken.map { it.reason }
        assertEquals("UnsatisfiedLinkError: libQnnHtp.so", reasons[0])
        assertEquals("OutOfMemoryError: no reason given", reasons[1])
        assertEquals("the app has no runtime for litert-cpu", reasons[2])
        assertTrue("litert-cpu@fp32" in error.message.orEmpty())
    }

    @Test
    fun aChipIsMatchedByAnyOfItsNames() {
        assertEquals(qnn, chain(works, Device(chips = setOf("pineapple", "sm8650"))).open(all).candidate)
        val unknown = chain(works, Device()).open(all)
        assertEquals(gpu, unknown.candidate)
        assertEquals("it is for SM8650; this chip is not known", unknown.notTaken.single().reason)
    }

    @Test
    fun memoryAndParityAreLookedAtFirst() {
        val large = candidate("litert-cpu", needs = Needs("", 1001))
        val wrong = candidate("litert-cpu", "fp16", parity = Parity(false, Mode.NATIVE, "", reason = "OKS 0.2"))
        val unverified = candidate("litert-cpu", "int8", parity = Parity(false, Mode.UNVERIFIED, ""))
        val opened = chain(works, Device(freeRamBytes = 1000)).open(listOf(large, wrong, unverified))
        assertEquals(unverified, opened.candidate)
        assertEquals("it needs 1001 bytes of memory, 1000 are free", opened.notTaken[0].reason)
        assertTrue("OKS 0.2" in opened.notTaken[1].reason)
    }

    @Test
    fun thePreferredIsTriedFirstAndStillChecked() {
        assertEquals(cpu, chain(works).open(all, preferred = "litert-cpu@fp32").candidate)
        val elsewhere = chain(works, Device(chips = setOf("G5"))).open(all, preferred = qnn.name)
        assertEquals(gpu, elsewhere.candidate)
        assertEquals(qnn.name, elsewhere.notTaken.first().name)
        assertEquals("it is not among the artifacts", chain(works).open(all, "coreml@fp16").notTaken.first().reason)
    }

    @Test
    fun nothingToOpenIsAReasonOfItsOwn() {
        assertTrue("edge embed" in assertFailsWith<NoBackend> { chain(works).open(emptyList()) }.message.orEmpty())
    }

    @Test
    fun whatCrashedIsNotTriedTwiceInARow() {
        assertEquals(qnn, start())
        assertEquals(gpu, start(survives = true), "the process ended while qnn was tried")
        assertEquals(qnn, start(), "once left out, tried again")
        assertEquals(List(3) { gpu }, List(3) { start(survives = true) }, "crashed twice: left out three times")
        assertEquals(qnn, start(survives = true))
        assertEquals(qnn, start(survives = true), "it works again, and its crashes are forgiven")
        assertEquals(qnn, start())
        assertEquals(gpu, start(survives = true))
        assertEquals(qnn, start())
    }

    @Test
    fun severalCanCrashOneAfterTheOther() {
        assertEquals(listOf(qnn, gpu, qnn, gpu), List(4) { start() }, "each is left out of one start after its crash")
        assertEquals(cpu, start(survives = true), "both are left out after their second")
    }

    @Test
    fun aNewVersionBeginsAnew() {
        assertEquals(qnn, start())
        val newer = all.map { it.copy(version = "2") }
        assertEquals(newer[0], start(newer))
    }

    @Test
    fun anOrderlyRefusalIsNoCrash() {
        val refusing = works + ("executorch-qnn" to { _ -> throw IllegalStateException("busy") })
        assertEquals(gpu, chain(refusing).open(all).also { it.works() }.candidate)
        assertEquals(qnn, chain(works).open(all).candidate)
    }

    @Test
    fun aBrokenLogStopsNothing() {
        log.parentFile.mkdirs()
        val broken = listOf(
            "", "{", "[]", "{}", """{"trying":["a"],"crashes":{}}""", """{"trying":5,"crashes":{}}""",
            """{"trying":null,"crashes":{"executorch-qnn:SM8650@int8":{}}}""", "\u0000",
        )
        for (text in broken) {
            log.writeText(text)
            assertEquals(qnn, chain(works).open(all).also { it.works() }.candidate, text)
        }
        log.delete()
        log.mkdirs()
        assertEquals(qnn, chain(works).open(all).candidate)
    }

    @Test
    fun aTargetsIdIsTakenApart() {
        assertEquals(TargetId("executorch-ethos-u", "u85-256"), TargetId.of("executorch-ethos-u:u85-256"))
        assertEquals(TargetId("coreml"), TargetId.of("coreml"))
        assertEquals("litert-mediatek:MT6991", TargetId.of("litert-mediatek:MT6991").toString())
        assertNull(TargetId.of("coreml").chip.ifEmpty { null })
    }

    /** Start the app anew, and return what it runs; without surviving, the process ends in the first inference. */
    private fun start(candidates: List<Candidate> = all, survives: Boolean = false): Candidate =
        chain(works).open(candidates).also { if (survives) it.works() }.candidate

    private fun chain(
        openers: Map<String, (Candidate) -> String>,
        device: Device = Device(chips = setOf("SM8650")),
    ) = BackendChain(openers, device, CrashLog(log))

    private fun candidate(
        target: String,
        precision: String = "fp32",
        needs: Needs = Needs(""),
        parity: Parity? = null,
    ): Candidate {
        val manifest = Manifest(
            model = "m", task = "tensors", target = target, precision = precision, files = emptyList(),
            inputs = listOf(TensorSpec("x", listOf(1))), outputs = emptyList(), steps = emptyList(),
            source = Source(""), needs = needs, parity = parity,
        )
        return Candidate(File("artifacts"), manifest)
    }
}
