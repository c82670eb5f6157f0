"""What the policy is told of both sides at a call's moment."""

from __future__ import annotations

import msgspec

from edge.client.local import Local
from edge.client.profiled import Profiled
from edge.client.remote import Remote
from edge.client.smoothing import DeviceEstimates
from edge.serve.call import Call, Model, Server


def with_device(call: Call, local: Local | None, profiled: Profiled, estimates: DeviceEstimates, now_ms: float) -> Call:
    """Return the call with what is known of the artifact here; None is no artifact."""
    if local is None:
        return msgspec.structs.replace(call, model=Model(present=False))
    model = Model(
        present=local.present,
        supported=local.supported,
        peak_bytes=0 if local.loaded else profiled.peak_bytes,
        p90_ms=estimates.p90_ms(now_ms),
        sustained_ratio=profiled.sustained_ratio,
    )
    return msgspec.structs.replace(call, model=model)


def with_server(call: Call, remote: Remote, payload_bytes: int, now_ms: float) -> Call:
    """Return the call with what is known of the server; what the app's provider says of the network counts first."""
    known, network = remote.estimates, call.network
    rtt, uplink = network.rtt_ms, network.uplink_bits_per_s
    network = msgspec.structs.replace(
        network,
        rtt_ms=known.rtt_ms.value if rtt is None else rtt,
        uplink_bits_per_s=known.uplink_bits_per_s(payload_bytes) if uplink is None else uplink,
    )
    server = Server(
        configured=True,
        breaker=remote.breaker.state,
        p90_ms=known.times.quantile(0.9, now_ms),
        p95_ms=known.times.quantile(0.95, now_ms),
        queue_ms=known.queue_ms(now_ms),
    )
    return msgspec.structs.replace(call, payload_bytes=payload_bytes, network=network, server=server)
