"""One call, both sides: where it runs, what the answer says, and how it ends."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from client_models import CONTRACT, EAGER, SIZE, bright, picture, wifi
from fault_proxy import Proxy
from oip_server import Served, serving

from edge.artifact import Artifact
from edge.client import CallFailed, DeadlineMissed, Endpoint, FallbackRunner, Policy, Unavailable
from edge.contract import Contract, TensorSpec
from edge.errors import ContractError, UsageError


def make(artifact: Artifact | None, url: str, policy: Policy = EAGER, **others: object) -> FallbackRunner:
    endpoint = Endpoint(url, "bright")
    runner = FallbackRunner(artifact, endpoint, policy, network=wifi, **others)  # type: ignore[arg-type]
    runner.consent = "granted"
    return runner


def test_on_the_device(artifact: Artifact) -> None:
    with FallbackRunner(artifact) as runner:
        answer = runner(picture())
    assert (answer.ran_on, answer.reason) == ("device", "mode_only_on_device")
    assert answer.model == "bright"
    assert answer.model_sha256 == "ab" * 32
    assert answer.result is not None
    assert answer.result.to_json()["size"] == [48, 48]
    assert [attempt.outcome for attempt in answer.attempts] == ["answered"]
    spans = answer.attempts[0].spans
    assert spans.prepare_ms is not None
    assert spans.inference_ms is not None


@pytest.mark.parametrize("upload", ["png", "tensors", "jpeg", "webp"])
def test_on_the_server(artifact: Artifact, server: Served, upload: str) -> None:
    server.conduct.parameters |= {"prepare_ms": 0.5, "queue_ms": 1.5, "inference_ms": 2}
    policy = Policy(mode="prefer-server", data_class="may_upload", upload=upload)  # type: ignore[arg-type]
    with make(artifact, server.url, policy) as runner:
        answer = runner(picture(), deadline_ms=5000)
        here = runner(picture(), mode="only-on-device")
    assert (answer.ran_on, answer.reason, answer.fell_back) == ("server", "preferred", False)
    assert (answer.model, answer.model_version, answer.model_sha256) == ("bright", "3", "cd" * 32)
    exact = upload in ("png", "tensors")
    np.testing.assert_allclose(answer.outputs["mask"], here.outputs["mask"], atol=1e-5 if exact else 0.2)
    spans = answer.attempts[0].spans
    assert (spans.queue_ms, spans.inference_ms) == (1.5, 2.0)
    assert None not in (spans.metadata_ms, spans.send_ms, spans.wait_ms, spans.receive_ms, spans.decode_ms)
    assert answer.to_json()["attempts"][0]["sent"] is True
    assert server.conduct.requests[0].inputs[0].datatype == ("FP32" if upload == "tensors" else "BYTES")


def test_tensors_both_ways(artifact: Artifact, server: Served) -> None:
    image = np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)
    with make(artifact, server.url) as runner:
        answer = runner({"image": image})
        local = runner({"image": image}, mode="only-on-device")
    assert answer.result is None
    np.testing.assert_allclose(answer.outputs["mask"], bright(image), atol=1e-6)
    np.testing.assert_allclose(local.outputs["mask"], bright(image), atol=1e-5)


def test_the_deadline_travels_as_a_duration_and_metadata_is_asked_for_once(artifact: Artifact, server: Served) -> None:
    with make(artifact, server.url) as runner:
        for _ in range(3):
            runner(picture(), deadline_ms=4000, mode="only-server")  # so that no hedge is faster on a busy machine
        runner(picture(), mode="only-server")
    assert server.conduct.questions == 1
    timeouts = [request.timeout_us for request in server.conduct.requests]
    assert all(timeout is not None and 1_000_000 < timeout <= 4_000_000 for timeout in timeouts[:3])
    assert timeouts[3] is not None
    assert 8_000_000 < timeouts[3] <= 10_000_000


def test_without_an_artifact(server: Served) -> None:
    policy = Policy(mode="only-server", data_class="may_upload")
    with make(None, server.url, policy, contract=CONTRACT) as runner:
        assert runner(picture()).ran_on == "server"
    with pytest.raises(UsageError, match="contract"):
        FallbackRunner(None, Endpoint(server.url, "bright"))


def test_channels_last_on_the_device_and_first_on_the_server(server: Served) -> None:
    nhwc = Contract(
        inputs=(TensorSpec(name="image", shape=(1, SIZE, SIZE, 3), layout="NHWC"),),
        outputs=(TensorSpec(name="mask", shape=(1, SIZE, SIZE, 1), layout="NHWC"),),
        task="segmentation", preprocess=CONTRACT.preprocess, postprocess=CONTRACT.postprocess, labels=CONTRACT.labels,
    )  # fmt: skip
    image = np.random.default_rng(0).random((1, SIZE, SIZE, 3), np.float32)
    with make(None, server.url, Policy(mode="only-server", data_class="may_upload"), contract=nhwc) as runner:
        outputs = runner({"image": image}).outputs
    np.testing.assert_allclose(outputs["mask"], bright(image.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1), atol=1e-6)


def test_another_model_on_the_server_is_noticed(artifact: Artifact) -> None:
    other = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),),
        outputs=(TensorSpec(name="mask", shape=(1, 1, 8, 8), layout="NCHW"),),
    )
    with serving(contract=other) as server:
        with make(artifact, server.url) as runner:
            answer = runner(picture())
            assert (answer.ran_on, answer.fell_back) == ("device", True)
            assert "is it another model?" in answer.attempts[0].error
            runner(picture())
            with pytest.raises(CallFailed, match="another model") as failure:
                runner(picture(), mode="only-server")
        assert isinstance(failure.value.__cause__, ContractError)
        assert server.conduct.questions == 1
        assert not server.conduct.requests


@pytest.mark.slow
def test_a_hedge_answers_and_the_request_is_closed(artifact: Artifact, server: Served, proxy: Proxy) -> None:
    with make(artifact, proxy.url) as runner:
        for _ in range(3):
            runner(picture(), mode="only-server")
            runner(picture(), mode="only-on-device")
        server.conduct.delay_s = 30.0
        answer = runner(picture(), deadline_ms=4000)
        assert answer.decision.hedge_after_ms is not None
        assert answer.ran_on == "device"
        assert {attempt.side: attempt.outcome for attempt in answer.attempts} == {
            "server": "cancelled",
            "device": "answered",
        }
        _eventually(lambda: proxy.faults.open == 0)
        assert answer.total_ms < 4000
    assert server.conduct.finished == 3


def test_a_device_that_fails_is_replaced(artifact: Artifact, server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    (artifact.root / "model.onnx").rename(artifact.root / "aside")
    (artifact.root / "model.onnx").write_bytes(bytes(artifact.manifest.files[0].bytes))
    try:
        policy = Policy(mode="prefer-on-device", data_class="may_upload")
        with make(artifact, server.url, policy) as runner:
            answer = runner(picture())
            assert (answer.ran_on, answer.fell_back, answer.decision.run_on) == ("server", True, "device")
            with pytest.raises(CallFailed, match="cannot open"):
                runner(picture(), mode="only-on-device")
    finally:
        (artifact.root / "aside").rename(artifact.root / "model.onnx")


def test_a_model_that_is_not_there_runs_on_the_server(artifact: Artifact, server: Served) -> None:
    gone = Artifact(artifact.root / "nowhere", artifact.manifest)
    policy = Policy(mode="prefer-on-device", data_class="may_upload")
    with make(gone, server.url, policy) as runner:
        assert runner(picture()).reason == "model_absent"
        runner.consent = "denied"
        with pytest.raises(Unavailable, match="model_absent") as failure:
            runner(picture())
    assert failure.value.decision.server_blocked == "consent_denied"
    assert failure.value.exit_code == 3


def test_a_run_that_is_given_up_computes_on_and_is_counted(artifact: Artifact, server: Served) -> None:
    gate, inside = threading.Event(), threading.Event()

    class Slow:
        mode = "native"

        def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            inside.set()
            gate.wait(30)
            return {"mask": bright(inputs["image"])}

    with FallbackRunner(artifact) as runner:
        runner._local._session = Slow()  # type: ignore[union-attr, assignment]
        began = time.monotonic()
        with pytest.raises(DeadlineMissed) as failure:
            runner(picture(), deadline_ms=150)
        assert time.monotonic() - began < 3
        assert inside.is_set()
        assert [attempt.outcome for attempt in failure.value.attempts] == ["abandoned"]
        assert runner.abandoned == 1
        for _ in range(5):  # those that wait behind it are cancelled whole: nothing piles up
            with pytest.raises(DeadlineMissed):
                runner(picture(), deadline_ms=10)
        assert sum(thread.name == "edge-client-device" for thread in threading.enumerate()) == 1
        gate.set()
        assert runner(picture()).ran_on == "device"
        assert runner.abandoned == 0


def _eventually(holds: object) -> None:
    ends = time.monotonic() + 5
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < ends
        time.sleep(0.01)
