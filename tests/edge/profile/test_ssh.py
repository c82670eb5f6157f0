"""A machine over ssh: the real client against a real server on the loopback."""

from __future__ import annotations

import platform
import shutil
import threading
import time
from pathlib import Path

import psutil
import pytest
from sshd import HOST, Server, key, serving

from edge.errors import MissingError, TargetError, UsageError
from edge.profile.devices import Bundle, BundleFile, Command, Device, open_device
from edge.profile.devices._ssh_link import VARIABLE, said, why_not

pytest_plugins = ("ssh_fixtures",)


def file(folder: Path, name: str, content: bytes, *, executable: bool = False) -> BundleFile:
    (folder / name).write_bytes(content)
    return BundleFile(name=name, path=folder / name, executable=executable)


def script(board: Device, text: str, timeout_s: float = 60):
    return board.run(Command(argv=("sh", "-c", text), folder="/"), timeout_s)


def test_probe_and_state(board: Device) -> None:
    record = board.probe()
    assert (record.id, record.machine, record.emulated) == (f"ssh:{HOST}", platform.machine(), False)
    assert record.system
    state = board.state(2.0)
    assert state.at_s == 2.0
    assert state.load is not None


def test_files_are_brought_once_and_changed_ones_again(board: Device, server: Server, tmp_path: Path) -> None:
    program = file(tmp_path, "hello", b"#!/bin/sh\necho hello $1\n", executable=True)
    data = file(tmp_path, "weights 1.bin", bytes(range(256)) * 4096)
    folder = board.put(Bundle(files=(program, data)))
    ended = board.run(Command(argv=("./hello", "it's $HOME"), folder=folder), 60)
    assert (ended.code, ended.output, ended.problem) == (0, "hello it's $HOME\n", "")
    there = Path(folder) / data.name
    assert str(there).startswith(str(server.home))
    assert there.read_bytes() == data.path.read_bytes()
    number = there.stat().st_ino
    assert board.put(Bundle(files=(program, data))) == folder
    assert there.stat().st_ino == number
    other = Path(board.put(Bundle(files=(data,)))) / data.name  # another bundle shares the file
    assert other.stat().st_ino == number
    damaged = bytearray(data.path.read_bytes())
    damaged[5] ^= 1
    there.write_bytes(damaged)  # of the same size
    board.put(Bundle(files=(program, data)))
    assert there.read_bytes() == data.path.read_bytes()


def test_what_cannot_be_written_is_an_error(board: Device, server: Server, tmp_path: Path) -> None:
    bundle = Bundle(files=(file(tmp_path, "a", b"never sent before"),))
    board.put(Bundle())
    blocked = server.home / ".cache" / "edge-profile" / bundle.key()
    blocked.write_text("a file where the folder has to be")
    with pytest.raises(TargetError, match="a cannot be written on ssh:board"):
        board.put(bundle)
    blocked.unlink()


def test_get(board: Device, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "there").write_bytes(content)
    board.get(str(tmp_path / "there"), tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == content
    with pytest.raises(TargetError, match=r"none cannot be read on ssh:board.*No such file"):
        board.get(str(tmp_path / "none"), tmp_path / "here")


def test_exit_codes_noise_and_environment(board: Device) -> None:
    ended = script(board, "echo out; echo noise >&2; exit 7")
    assert (ended.code, ended.output, ended.errors, ended.lost) == (7, "out\n", "noise\n", False)
    assert script(board, "exit 255").code == 255  # which ssh also says for itself
    assert script(board, "printf no-newline >&2").errors == "no-newline"
    assert script(board, "kill -SEGV $$").code == 128 + 11
    assert board.run(Command(argv=("./none",), folder="/"), 60).code == 127
    assert board.run(Command(argv=("true",), folder="/no/such/folder"), 60).code != 0
    words = Command(argv=("sh", "-c", 'echo "$NAME"'), folder="/", environment={"NAME": "two words; $x"})
    assert board.run(words, 60).output == "two words; $x\n"


def test_a_prefix_comes_before_every_command(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"-F {server.config}")
    board = open_device(f"ssh:{HOST}", ("nice", "-n", "5"))
    assert script(board, "nice").output.strip() == str(psutil.Process(server.process.pid).nice() + 5)
    board.close()
    board = open_device(f"ssh:{HOST}", ("qemu-aarch64-static", "-cpu", "max"))
    assert board.probe().emulated
    board.close()


def asleep(seconds: str) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if process.info["cmdline"] == ["sleep", seconds]]


def test_a_command_that_takes_too_long_is_ended_there(board: Device) -> None:
    begin = time.monotonic()
    ended = script(board, "echo begun; sleep 431; echo never", 1.5)
    assert (ended.code, ended.output, ended.lost) == (None, "begun\n", False)
    assert "1.5 s" in ended.problem
    assert time.monotonic() - begin < 30
    assert not asleep("431")
    assert script(board, "echo and the next one runs").code == 0


def test_a_connection_that_breaks_keeps_what_was_printed(board: Device, server: Server) -> None:
    timer = threading.Timer(1.5, server.cut)
    timer.start()
    ended = script(board, 'i=0; while [ $i -lt 600 ]; do echo "line $i"; i=$((i+1)); sleep 0.1; done')
    timer.join()
    assert ended.lost
    assert ended.code is None
    assert ended.problem.startswith("the connection to ssh:board was lost")
    assert ended.output.startswith("line 0\nline 1\n")
    assert script(board, "echo back").output == "back\n"  # the machine is still there


def test_a_machine_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path / "other") as server:
        monkeypatch.setenv(VARIABLE, f"-F {server.config}")
        board = open_device(f"ssh:{HOST}")
    board._link._master.kill()  # the session outlives its server
    with pytest.raises(MissingError, match="Connection refused"):
        board.put(Bundle(files=(file(tmp_path, "a", b"1"),)))
    assert board.state(1.0).load is None
    assert isinstance(board.energy(), str)
    assert script(board, "true").lost
    board.close()
    with pytest.raises(MissingError, match="apt-get install openssh-server"):
        open_device(f"ssh:{HOST}")


def test_a_key_or_a_host_that_is_not_known(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"-F {server.config} -o IdentityFile={key(tmp_path / 'other')}")
    text = server.config.read_text()
    (tmp_path / "keyless").write_text(text.replace(f"{server.folder}/user_key", str(tmp_path / "other")))
    monkeypatch.setenv(VARIABLE, f"-F {tmp_path / 'keyless'}")
    with pytest.raises(MissingError, match=r"Permission denied.*ssh-copy-id board"):
        open_device(f"ssh:{HOST}")
    (tmp_path / "unknown").write_text(text.replace(f"{server.folder}/known", "/dev/null"))
    monkeypatch.setenv(VARIABLE, f"-F {tmp_path / 'unknown'}")
    with pytest.raises(MissingError, match=r"Host key verification failed.*by hand"):
        open_device(f"ssh:{HOST}")
    monkeypatch.setenv(VARIABLE, "-F '")
    with pytest.raises(UsageError, match=VARIABLE):
        open_device(f"ssh:{HOST}")


def test_names_and_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("ssh", "ssh:-oProxyCommand=true"):
        with pytest.raises(UsageError, match="ssh:HOST"):
            open_device(text)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingError, match="openssh-client"):
        open_device(f"ssh:{HOST}")


def test_what_a_connection_says() -> None:
    assert said(b"x", b"noise\n\n=edge-exit= 3\n").code == 3
    assert said(b"x", b"noise\n\n=edge-exit= 3\n").errors == "noise\n"
    assert said(b"", b"noise").code is None
    assert said(b"", b"=edge-exit= \xff").code is None
    assert "it said nothing" in why_not("b", "\n")
