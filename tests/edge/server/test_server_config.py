"""The configuration: safe by default, a TOML file under a command line, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.cli.serve import serve_command
from edge.errors import EdgeError, InputError, MissingError, UsageError
from edge.server.config import ModelConfig, ServerConfig, configure, is_loopback, read_config, share_cores
from edge.server.parts import parts
from edge.server.serving import check_address, check_models

SAFE = {"certificate": "c.pem", "key": "k.pem", "tokens": "t.json"}


def test_nothing_is_served_without_tls_and_tokens_unless_asked_for() -> None:
    with pytest.raises(UsageError, match="certificate, key, tokens missing.*--insecure"):
        configure([{"source": "m"}])
    for left_out in SAFE:
        with pytest.raises(UsageError, match=f"^{left_out} missing"):
            configure([{"source": "m"}], **{name: value for name, value in SAFE.items() if name != left_out})
    assert configure([{"source": "m"}], **SAFE).host == "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.example.org", ""])
def test_insecure_is_for_loopback_only(host: str) -> None:
    with pytest.raises(UsageError, match="on loopback only"):
        configure([{"source": "m"}], insecure=True, host=host)
    assert configure([{"source": "m"}], host=host, **SAFE).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_addresses(host: str) -> None:
    assert is_loopback(host)
    assert configure([{"source": "m"}], insecure=True, host=host).insecure


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text(
        'insecure = true\nport = 9000\ndrain_seconds = 5\n[limits]\nbody_bytes = 1000\n[[models]]\nsource = "a"\n'
        'version = "2"\ntimeout_ms = 500\n'
    )
    config = configure([{"source": "b", "max_batch": 4}], read_config(path), port=0, host=None)
    assert (config.port, config.host, config.drain_seconds, config.limits.body_bytes) == (0, "127.0.0.1", 5, 1000)
    assert [(model.source, model.version, model.max_batch) for model in config.models] == [("a", "2", 8), ("b", "1", 4)]


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"sourec": "m"}, "sourec"),
        ({"max_batch": 0}, "max_batch"),
        ({"max_batch": "8"}, "max_batch"),
        ({"timeout_ms": -1}, "timeout_ms"),
        ({"device": "tpu"}, "device"),
        ({"name": "a/b"}, "'a/b'"),
        ({"name": "../a"}, "name"),
        ({"name": ""} | {"version": "one"}, "version 'one'"),
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas 2 is below min_replicas 3"),
        ({"device": "cuda"}, "share of a GPU"),
        ({"checkpoint": "c.pth", "weights": "random"}, "exclude each other"),
    ],
)
def test_what_does_not_hold_is_a_usage_error(field: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        configure([{"source": "m", **field}], insecure=True)


def test_no_model_and_the_same_twice() -> None:
    with pytest.raises(UsageError, match="no model to serve"):
        configure([], insecure=True)
    with pytest.raises(UsageError, match="m version 1 is configured twice"):
        configure([{"source": "m"}, {"source": "other/m"}], insecure=True)
    assert len(configure([{"source": "m"}, {"source": "m", "version": "2"}], insecure=True).models) == 2


def test_limits_are_checked() -> None:
    with pytest.raises(UsageError, match="body_bytes"):
        configure([{"source": "m"}], {"limits": {"body_bytes": 0}}, insecure=True)
    with pytest.raises(UsageError, match="boddy"):
        configure([{"source": "m"}], {"limits": {"boddy": 1}}, insecure=True)


@pytest.mark.parametrize("models", ["m", {"source": "m"}, 3])
def test_models_that_are_no_list(models: object) -> None:
    with pytest.raises(UsageError, match="models"):
        configure([], {"models": models}, insecure=True)


def test_files_that_are_no_toml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "absent.toml")
    for content in (b"port = ", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(InputError, match="is no TOML"):
            read_config(tmp_path / "bad.toml")


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 128),
    st.lists(st.tuples(st.integers(1, 8), st.sampled_from([0.0, 0.5, 3.0])), min_size=1, max_size=4),
)
def test_cores_are_shared_and_no_replica_has_none(cores: int, models: list[tuple[int, float]]) -> None:
    named = [ModelConfig(source=f"m{i}", max_replicas=most, cpus=cpus) for i, (most, cpus) in enumerate(models)]
    shared = share_cores(ServerConfig(models=tuple(named), insecure=True), cores).models
    each = max(1, cores // sum(most for most, _ in models))
    assert [model.cpus for model in shared] == [cpus or each for _, cpus in models]


def test_the_newest_version_answers_for_its_model() -> None:
    models = [{"source": "m", "version": version} for version in ("9", "10", "1")]
    found = list(parts(configure([*models, {"source": "dir/n@fp32"}], insecure=True), ""))
    assert {part.name: part.route for part in found} == {
        "m-9": "/v2/models/m/versions/9",
        "m-10": "/v2/models/m",
        "m-1": "/v2/models/m/versions/1",
        "n-fp32-1": "/v2/models/n-fp32",
        "index": "/",
    }
    assert found[0].settings["versions"] == ["1", "9", "10"]


def test_sources_are_checked_before_anything_starts(tmp_path: Path) -> None:
    def check(**model: Any) -> ServerConfig:
        return check_models(configure([model], insecure=True), said.append)

    said: list[str] = []
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.bin").touch()
    for path in ("folder", "model.bin", "absent.pt2"):
        with pytest.raises(InputError, match="neither an artifact's folder nor"):
            check(source=str(tmp_path / path))
    with pytest.raises(InputError, match="no checkpoint"):
        check(source="deeplabv3-mobilenet-v3-large", checkpoint=str(tmp_path / "absent.pth"))
    assert check(source="deeplabv3-mobilenet-v3-large").models[0].weights == "random"
    assert "RANDOM" in said[0]
    secure = configure([{"source": "deeplabv3-mobilenet-v3-large"}], **SAFE)
    with pytest.raises(MissingError, match="--checkpoint deeplabv3-mobilenet-v3-large=FILE"):
        check_models(secure, said.append)


def test_files_of_the_address_are_there(tmp_path: Path) -> None:
    files = {name: str(tmp_path / name) for name in SAFE}
    with pytest.raises(UsageError, match="--certificate .*no such file"):
        check_address(configure([{"source": "m"}], **files))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no model to serve"),
        (["m"], "--insecure"),
        (["m", "--insecure", "--host", "0.0.0.0"], "loopback only"),
        (["m", "--insecure", "--checkpoint", "n=file"], "MODEL=FILE"),
        (["no-such-model", "--insecure"], "no-such-model"),
    ],
)
def test_the_command_refuses(words: list[str], said: str) -> None:
    with pytest.raises(EdgeError, match=said):
        serve_command.main(words, standalone_mode=False)
