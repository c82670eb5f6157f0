package edge.core.policy

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class PolicyInputTest {
    @Test
    fun numbersThatAreNoneAreRefusedBeforeADecision() {
        for (bad in listOf(-1.0, Double.NaN, Double.POSITIVE_INFINITY)) {
            assertThrows(IllegalArgumentException::class.java) { Call(deadlineMs = bad) }
            assertThrows(IllegalArgumentException::class.java) { Network(rttMs = bad) }
            assertThrows(IllegalArgumentException::class.java) { Device(thermalHeadroom = bad) }
        }
        assertThrows(IllegalArgumentException::class.java) { Call(payloadBytes = LARGEST + 1) }
        assertThrows(IllegalArgumentException::class.java) { State(streak = -1) }
        assertThrows(IllegalArgumentException::class.java) { decide(Call(), State(), -1) }
    }

    @Test
    fun nothingLeavesByDefault() {
        val decision = decide(Call(), State(), 0).decision
        assertEquals(false, decision.uploadAllowed)
        assertEquals(Side.DEVICE, decision.runOn)
    }
}
