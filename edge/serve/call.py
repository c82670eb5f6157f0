"""What the fallback policy is told, what it remembers and what it answers; docs/policy.md specifies every field.

All times are in milliseconds. None means unknown. Every default is the one under which nothing is sent.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from edge.errors import InputError

Mode = Literal["only-on-device", "prefer-on-device", "prefer-server", "only-server"]  # as in a manifest's `fallback`
Side = Literal["device", "server"]
RunOn = Literal["device", "server", "unavailable"]
Thermal = Literal["none", "light", "moderate", "severe", "critical", "emergency", "shutdown", "unknown"]
DeviceBlock = Literal["mode_only_server", "model_absent", "unit_unsupported", "memory_short"]
ServerBlock = Literal[
    "mode_only_on_device",
    "consent_unset",
    "consent_denied",
    "data_local_only",
    "no_server",
    "offline",
    "breaker_open",
    "over_metered_cap",
]
Preference = Literal["preferred", "device_hot", "energy_low"]
Reason = Literal[DeviceBlock, ServerBlock, Preference, "deadline", "held", "deadline_passed"]

METERED_CAP_BYTES = 262_144
LARGEST = 2**53  # the largest whole number up to which every one is a double


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen, keyword-only, an unknown key is an error, and so is a number below zero, infinite or NaN."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not 0 <= value < math.inf or (isinstance(value, int) and value > LARGEST):
                raise InputError(
                    f"{type(self).__name__}.{name} is {value}; give a finite number from 0, at most 2^53 if whole, "
                    "or None where it is unknown"
                )


class Model(_Record):
    """Say how the model stands on this device."""

    present: bool = True  # its files are here, complete
    supported: bool = True  # its runtime and its unit exist here
    peak_bytes: int | None = None  # memory that running it would still take; 0 once it is loaded
    p90_ms: float | None = None  # of one inference with preprocessing and decoding, on the cool device
    sustained_ratio: float | None = None  # steady over burst latency, of a sustained profile


class Device(_Record):
    """Say how the device is now."""

    available_bytes: int | None = None
    thermal: Thermal = "unknown"
    thermal_headroom: float | None = None  # forecast for 10 s from now; 1 is where `severe` begins
    battery_percent: float | None = None  # 0 to 100
    charging: bool | None = None
    low_power: bool = False  # the user's low-power mode


class Network(_Record):
    """Say how the network is now."""

    online: bool = False
    metered: bool | None = None
    rtt_ms: float | None = None
    uplink_bits_per_s: float | None = None


class Server(_Record):
    """Say what is known of the server for this model: its own time, from the whole request to the answer."""

    configured: bool = False  # there is an endpoint
    breaker: Literal["closed", "half_open", "open"] = "closed"
    p90_ms: float | None = None
    p95_ms: float | None = None
    queue_ms: float = 0.0  # a wait that the server announced, above what its p90 holds


class Call(_Record):
    """Everything that one decision depends on, but for the state and the clock."""

    mode: Mode = "only-on-device"
    consent: Literal["granted", "denied", "unset"] = "unset"
    data_class: Literal["local_only", "may_upload"] = "local_only"
    payload_bytes: int = 0  # of the request's body
    metered_cap_bytes: int = METERED_CAP_BYTES
    deadline_ms: float | None = None  # time left from now; None: none
    model: Model = Model()
    device: Device = Device()
    network: Network = Network()
    server: Server = Server()


class State(_Record):
    """What the policy remembers between calls, per model and endpoint; `State()` knows nothing."""

    mode: Mode | None = None  # of the last call
    side: Side | None = None  # where calls run for which both sides are open
    since_ms: int = 0  # when `side` was taken
    streak: int = 0  # calls in a row that wanted to leave `side`
    last_ms: int = 0  # of the last call


class Decision(_Record):
    """Where to run, why, and what the client may do on the way."""

    run_on: RunOn
    reason: Reason
    fallback: Side | None  # the side that takes over if `run_on` fails or, for the server, is late
    upload_allowed: bool  # False: not one byte of the input may leave the device for this call
    deadline_miss_expected: bool
    hedge_after_ms: float | None  # start the device as well if the server has not answered by then
    timeout_ms: float | None  # the call fails after that; None: it may take as long as it takes
    device_ms: float | None  # the estimates
    server_ms: float | None
    device_blocked: DeviceBlock | None
    server_blocked: ServerBlock | None
