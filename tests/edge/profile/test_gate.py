"""A hot phone is waited for, once and not for ever."""

from __future__ import annotations

import pytest

from edge.profile.gate import ThermalGate, surface_c
from edge.profile.records import DeviceState


class Phone:
    """States one after another; time passes when somebody sleeps."""

    def __init__(self, *states):
        self.states, self.now, self.reads = list(states), 0.0, 0

    def read(self):
        self.reads += 1
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def sleep(self, seconds):
        self.now += seconds

    def gate(self, patience_s=600.0):
        return ThermalGate(self.read, patience_s, self.sleep, lambda: self.now)


def state(celsius=None, thermal="none", name="battery"):
    return DeviceState(at_s=0.0, thermal=thermal, celsius={} if celsius is None else {name: celsius})


def test_a_cool_phone_passes_at_once():
    phone = Phone(state(30.0))
    gate = phone.gate()
    assert gate.pass_through().celsius == {"battery": 30.0}
    assert (gate.outcome, phone.now) == ("passed", 0.0)


@pytest.mark.parametrize("hot", [state(41.0), state(30.0, "moderate"), state(40.0, name="SKIN")])
def test_a_hot_phone_is_waited_for(hot):
    phone = Phone(hot, hot, state(31.0))
    gate = phone.gate()
    gate.pass_through()
    assert (gate.outcome, phone.now) == ("passed", 10.0)


def test_later_launches_begin_as_cool_as_the_first():
    phone = Phone(state(30.0), state(31.5), state(30.9))
    gate = phone.gate()
    gate.pass_through()
    gate.pass_through()
    assert (gate.outcome, phone.now) == ("passed", 5.0)


def test_a_phone_that_stays_hot_is_measured_and_said_to_be_hot():
    phone = Phone(state(45.0))
    gate = phone.gate(patience_s=20.0)
    gate.pass_through()
    assert (gate.outcome, phone.now) == ("timeout", 20.0)
    assert "45.0 °C, above 37" in gate.reason
    gate.pass_through()
    assert phone.now == 20.0


def test_a_device_without_sensors_has_no_gate():
    phone = Phone(state(None, "unknown"), state(99.0, "unknown", "cpu"))
    gate = phone.gate()
    gate.pass_through()
    gate.pass_through()
    assert (gate.outcome, phone.now) == ("unavailable", 0.0)
    assert surface_c(state(99.0, name="cpu")) is None
