"""A phone behind a Mac. There is none here: a script stands in for xcrun, and only words and JSON are tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launching import events_of, made

from edge.errors import MissingError, UsageError
from edge.profile.devices import open_device
from edge.profile.devices.xcrun import connected
from edge.profile.runners import Wish, choose


def phone(udid: str, *, state: str = "connected", kind: str = "iPhone") -> dict[str, object]:
    return {
        "identifier": "A",
        "hardwareProperties": {"udid": udid, "deviceType": kind, "marketingName": "iPhone 16", "platform": "iOS"},
        "deviceProperties": {"name": "mine", "osVersionNumber": "18.1"},
        "connectionProperties": {"tunnelState": state},
    }


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that has a stand-in for xcrun list these phones."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def lists(*phones: object, code: int = 0) -> None:
        (tmp_path / "listing").write_text(json.dumps({"result": {"devices": phones}}))
        program = tmp_path / "xcrun"
        program.write_text(
            f'#!/bin/sh\necho "$@" > {tmp_path}/words\n[ {code} = 0 ] && cp {tmp_path}/listing "$5"\n'
            f"echo broken >&2\nexit {code}\n"
        )
        program.chmod(0o755)

    return lists


def test_it_is_refused_off_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(MissingError, match="needs a Mac with Xcode"):
        open_device("xcrun")


def test_the_one_connected_phone_is_found(mac, tmp_path: Path) -> None:
    mac(phone("1"), phone("2", state="disconnected"), phone("3", kind="appleWatch"))
    device = open_device("xcrun")
    assert (tmp_path / "words").read_text().startswith("devicectl list devices --json-output ")
    record = device.probe()
    assert (record.id, record.name, record.system) == ("xcrun:1", "iPhone 16", "iOS 18.1")
    artifact = made(tmp_path / "a", "coreml", "model.mlpackage", b"")
    prepared = choose(artifact, device, None).prepare(artifact, device, record, Wish(threads=1))
    assert prepared.argv[1:] == ("-m", "edge.profile.coreml_launch", str(artifact.root), "--device", "1")
    device.close()


def test_what_is_missing_is_named(mac) -> None:
    mac(phone("1"), phone("2"))
    with pytest.raises(MissingError, match="2 phones are connected"):
        open_device("xcrun")
    with pytest.raises(MissingError, match="xcrun:9 is not connected; connected: 1, 2"):
        open_device("xcrun:9")
    with pytest.raises(UsageError, match="taskset"):
        open_device("xcrun:1", ("taskset", "f0"))
    mac(code=1)
    with pytest.raises(MissingError, match="broken"):
        open_device("xcrun")


@pytest.mark.skipif(sys.platform == "darwin", reason="this is a Mac")
def test_a_launch_needs_a_mac(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "edge.profile.coreml_launch", str(tmp_path), "--device", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, events_of(done.stdout)[-1]["type"]) == (3, "MissingError")


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["result", "devices", "hardwareProperties", "udid", "deviceType", "connectionProperties"]
                ),
                inner,
            )
        ),
    )
)
def test_no_listing_is_an_error(value: object) -> None:
    connected(json.dumps({"result": {"devices": value}}))
    connected(json.dumps(value))
