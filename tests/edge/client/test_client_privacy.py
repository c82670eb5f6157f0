"""Nothing leaves without consent: a listening socket counts connections and bytes, whatever else is true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
from client_models import CONTRACT, picture
from fault_proxy import Faults, Proxy, proxying
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oip_server import Served, serving

from edge.artifact import Artifact
from edge.client import CallFailed, DeadlineMissed, Endpoint, FallbackRunner, Policy, Unavailable
from edge.client.cascade import Cascade
from edge.client.confidence import confidence_for
from edge.serve.call import Device, Mode, Network, Thermal
from edge.serve.errors import Busy

CASES = {
    "mode": st.sampled_from(get_args(Mode)),
    "consent": st.sampled_from(["granted", "denied", "unset"]),
    "data_class": st.sampled_from(["local_only", "may_upload"]),
    "online": st.booleans(),
    "metered": st.sampled_from([True, False, None]),
    "thermal": st.sampled_from(get_args(Thermal)),
    "fault": st.sampled_from(["none", "busy", "cut", "garbage", "gone_model"]),
    "deadline_ms": st.sampled_from([None, 2.0, 400.0]),
    "cascade": st.booleans(),
}


@pytest.fixture(scope="module")
def listening() -> Iterator[Served]:
    with serving() as server:
        yield server


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.fixed_dictionaries(CASES))
def test_not_one_byte_without_consent(artifact: Artifact, listening: Served, case: dict[str, Any]) -> None:
    faults = Faults(
        cut_after=200 if case["fault"] == "cut" else None,
        canned=b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" if case["fault"] == "garbage" else b"",
    )
    listening.conduct.error = Busy("full", 1) if case["fault"] == "busy" else None
    found = Artifact(artifact.root / "gone", artifact.manifest) if case["fault"] == "gone_model" else artifact
    allowed = (
        case["consent"] == "granted"
        and case["data_class"] == "may_upload"
        and case["mode"] != "only-on-device"
        and case["online"]
    )
    policy = Policy(mode=case["mode"], data_class=case["data_class"])
    network = Network(online=case["online"], metered=case["metered"])
    # A door of its own for each case: on a busy machine a connection of the case before may come in late.
    with proxying(listening.port) as proxy:
        proxy.faults = faults
        runner = FallbackRunner(
            found, Endpoint(proxy.url, "bright"), policy,
            network=lambda: network, device=lambda: Device(thermal=case["thermal"]),
        )  # fmt: skip
        with runner:
            if case["consent"] != "unset":
                runner.consent = case["consent"]
            call: Any = Cascade(runner, 1.0) if case["cascade"] else runner
            for seed in range(2):
                try:
                    call(picture(seed), deadline_ms=case["deadline_ms"])
                except (Unavailable, CallFailed, DeadlineMissed):
                    continue
    if not allowed:
        assert (faults.connections, faults.received) == (0, 0)


def test_consent_that_is_taken_back_ends_what_is_on_its_way(artifact: Artifact, server: Served, proxy: Proxy) -> None:
    import threading

    policy = Policy(mode="prefer-server", data_class="may_upload", upload="tensors")
    with FallbackRunner(artifact, Endpoint(proxy.url, "bright"), policy, network=wifi_network) as runner:
        runner.consent = "granted"
        assert runner(picture()).ran_on == "server"
        proxy.faults.bytes_per_s = 2_000
        timer = threading.Timer(0.3, lambda: setattr(runner, "consent", "denied"))
        timer.start()
        answer = runner(picture())
        timer.join()
        assert answer.ran_on == "device"
        assert next(attempt for attempt in answer.attempts if attempt.side == "server").outcome == "cancelled"
        connections = proxy.faults.connections
        assert runner(picture()).decision.server_blocked == "consent_denied"
        assert proxy.faults.connections == connections
    assert len(server.conduct.requests) == 1


def test_a_provider_that_raises_means_no_network(artifact: Artifact, proxy: Proxy) -> None:
    def broken() -> Network:
        raise OSError("no such sensor")

    policy = Policy(mode="prefer-server", data_class="may_upload")
    with FallbackRunner(artifact, Endpoint(proxy.url, "bright"), policy, network=broken) as runner:
        runner.consent = "granted"
        assert runner(picture()).reason == "offline"
    assert proxy.faults.connections == 0


def test_pictures_carry_no_metadata() -> None:
    from edge.client.work import encode_picture

    for kind in ("jpeg", "webp", "png"):
        data = encode_picture(picture(), kind, 90)  # type: ignore[arg-type]
        assert b"Exif" not in data
        assert b"ICC" not in data


def test_a_cascade_escalates_below_its_threshold(artifact: Artifact, server: Served) -> None:
    policy = Policy(mode="prefer-on-device", data_class="may_upload")
    with FallbackRunner(artifact, Endpoint(server.url, "bright"), policy, network=wifi_network) as runner:
        cascade = Cascade(runner, 0.99)
        refused = cascade(picture())
        assert (refused.why, refused.large, refused.answer.ran_on) == ("consent_unset", None, "device")
        runner.consent = "granted"
        found = cascade(picture())
        assert (found.why, found.answer.ran_on, found.small.ran_on) == ("escalated", "server", "device")
        assert 0.5 <= found.confidence < 0.99
        assert found.confidence == confidence_for(CONTRACT)(found.small)
        assert Cascade(runner, 0.5)(picture()).why == "confident"
        server.conduct.error = Busy("full", 30)
        assert cascade(picture()).why == "failed"
        server.conduct.error, server.conduct.delay_s = None, 0.5
        assert cascade(picture(), deadline_ms=100).why == "too_late"
    with FallbackRunner(artifact, Endpoint(server.url, "bright"), network=wifi_network) as runner:
        runner.consent = "granted"
        assert Cascade(runner, 1.0)(picture(), data_class="may_upload").why == "mode_only_on_device"


def wifi_network() -> Network:
    """Return a network that costs nothing."""
    return Network(online=True, metered=False)


def test_confidence_of_every_task() -> None:
    from edge.client.answers import Answer
    from edge.contract import Contract, TensorSpec
    from edge.errors import ContractError
    from edge.tasks.pose import Detections, nobody

    def answer(result: Any, **outputs: Any) -> Any:
        known = dict.fromkeys(Answer.__dataclass_fields__)
        return Answer(**{**known, "result": result, "outputs": outputs})  # type: ignore[arg-type]

    spec = TensorSpec(name="image", shape=(1, 3, 4, 4), layout="NCHW")
    assert confidence_for(Contract(inputs=(spec,), task="pose-landmarks"))(answer(nobody())) == 0.0
    assert confidence_for(Contract(inputs=(spec,), task="pose-detection"))(answer(Detections(()))) == 0.0
    scores = TensorSpec(name="scores", shape=(1, 2, 4, 4), layout="NCHW")
    classes = confidence_for(Contract(inputs=(spec,), outputs=(scores,), task="segmentation"))
    assert classes(answer(None, scores=np.zeros((1, 2, 4, 4), np.float32))) == 0.5
    with pytest.raises(ContractError, match="confidence function"):
        confidence_for(Contract(inputs=(spec,), task="tensors"))
