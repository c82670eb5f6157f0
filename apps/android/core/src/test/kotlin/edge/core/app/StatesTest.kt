package edge.core.app

import edge.core.client.Blocked
import edge.core.client.CallFailed
import edge.core.client.Unavailable
import edge.core.files.Failure
import edge.core.files.Installation
import edge.core.manifest.NewerSchema
import edge.core.oip.AnswerError
import edge.core.policy.Call
import edge.core.policy.Consent
import edge.core.policy.DataClass
import edge.core.policy.Mode
import edge.core.policy.Network
import edge.core.policy.Reason
import edge.core.policy.Server
import edge.core.policy.State
import edge.core.policy.decide
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Test

class StatesTest {
    private val call = Call(
        mode = Mode.ONLY_SERVER,
        dataClass = DataClass.MAY_UPLOAD,
        network = Network(online = true),
        server = Server(configured = true),
    )

    private fun refused(call: Call): Unavailable = Unavailable("nowhere", decide(call, State(), 0).decision)

    @Test
    fun missingConsentAndConsentTakenBackAreToldApart() {
        val never = refused(call.copy(consent = Consent.UNSET))
        val denied = refused(call.copy(consent = Consent.DENIED))
        assertEquals(ScreenState.NoConsent(takenBack = false), stateOf(never))
        assertEquals(ScreenState.NoConsent(takenBack = true), stateOf(denied, consentWasGiven = true))
        val cut = CallFailed("both failed", never.decision, emptyList(), Blocked(Reason.CONSENT_DENIED, "not sent"))
        assertEquals(ScreenState.NoConsent(takenBack = true), stateOf(cut, consentWasGiven = true))
    }

    @Test
    fun otherClosedGatesAreNamed() {
        val offline = refused(call.copy(consent = Consent.GRANTED, network = Network()))
        val state = stateOf(offline)
        assertTrue(state is ScreenState.Unavailable && state.reason.isNotEmpty(), "$state")
    }

    @Test
    fun aServerThatLiesIsToldWhereverTheErrorIsFound() {
        val lie = AnswerError("the answer has 5 values, its shape takes 6")
        val state = ScreenState.ServerLied("the answer has 5 values, its shape takes 6")
        assertEquals(state, stateOf(lie))
        assertEquals(state, stateOf(CallFailed("failed", refused(call).decision, emptyList(), lie)))
        val wrongSize =
            Installation.Failed("model.pte", Failure.WRONG_SIZE, "the server states 7 bytes; 8 were expected")
        assertEquals(ScreenState.ServerLied("the server states 7 bytes; 8 were expected"), stateOf(wrongSize))
    }

    @Test
    fun downloadsEndInTheStatesThatHelp() {
        val short = Installation.Failed("model.pte", Failure.TRUNCATED, "model.pte ends after 3 of 8 bytes")
        assertEquals(ScreenState.Truncated("model.pte", "model.pte ends after 3 of 8 bytes"), stateOf(short))
        assertEquals(Remedy.DOWNLOAD_AGAIN, stateOf(short)?.remedy)
        val tampered = Installation.Failed("model.pte", Failure.WRONG_DIGEST, "")
        assertEquals(ScreenState.Tampered("model.pte"), stateOf(tampered))
        assertEquals(ScreenState.NewerSchema(2), stateOf(Installation.Refused(NewerSchema(2))))
        assertEquals(Remedy.UPDATE_APP, stateOf(Installation.Refused(NewerSchema(2)))?.remedy)
        assertNull(stateOf(Installation.Cancelled(3)))
    }

    @Test
    fun everyFailureOfADownloadHasAState() {
        for (failure in Failure.values()) {
            val state = stateOf(Installation.Failed("a", failure, "why"))
            assertTrue(state != null && state.remedy != Remedy.NONE, "$failure")
        }
    }

    @Test
    fun anErrorWithoutAMessageIsStillNamed() {
        assertEquals(ScreenState.Failed("IllegalStateException"), stateOf(IllegalStateException()))
        assertEquals(ScreenState.Failed("no room"), stateOf(java.io.IOException("no room")))
    }
}
