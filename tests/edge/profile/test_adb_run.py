"""Commands on a phone over adb, and all that goes wrong: the real client against a daemon that speaks its protocol."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from adbd import Daemon, Phone
from fake_phone import TMP, sh

from edge.errors import MissingError
from edge.profile.devices import Bundle, Command, Device, _adb_shell, open_device

pytest_plugins = ("adb_fixtures",)


def nap(number: int) -> str:
    """Return a command that sleeps for years; another process of these tests sleeps for other years."""
    return f"sleep {number}{os.getpid():07d}"


def running(number: int) -> str:
    """Return what /proc calls it."""
    return nap(number).replace(" ", "\0")


def runs(word: str) -> bool:
    """Say whether a process of this machine has a word in its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                return True
        except OSError:
            continue
    return False


def when_running(word: str, act: Callable[[], None]) -> threading.Thread:
    """Act once such a process runs and what was printed before it has arrived."""

    def watch() -> None:
        until = time.monotonic() + 30
        while not runs(word) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def ended_soon(word: str) -> bool:
    """Say whether no such process runs, or none any more within some seconds."""
    until = time.monotonic() + 5
    while runs(word) and time.monotonic() < until:
        time.sleep(0.05)
    return not runs(word)


def test_exit_codes_and_output(shell: Phone, device: Device) -> None:
    for code in (0, 1, 127, 255):
        assert device.run(sh(f"exit {code}"), 20).code == code
    ended = device.run(sh("echo out; echo noise >&2; printf last; exit 3"), 20)
    assert (ended.code, ended.problem, ended.lost) == (3, "", False)
    if shell.faults.shell_v2:
        assert (ended.output, ended.errors) == ("out\nlast", "noise\n")
    else:
        assert sorted(ended.output.split("\n")) == ["last", "noise", "out"]


def test_words_and_environment_arrive_as_they_are(shell: Phone, device: Device) -> None:
    words = ("it's", 'a "b"', "$HOME", "`id`", "a\\b", "", "*", "é;&|")
    command = Command(argv=("printf", "%s\n", *words), folder=TMP)
    assert device.run(command, 20).output.split("\n")[:-1] == list(words)
    told = device.run(sh('echo "$ONE|$TWO"; pwd', ONE="it's $HOME", TWO='"x"'), 20)
    assert told.output.splitlines() == ['it\'s $HOME|"x"', f"{shell.root}{TMP}"]


def test_the_prefix_stands_before_the_command(plugged: Daemon) -> None:
    device = open_device("adb", ("env", "PREFIXED=yes"))
    assert device.run(sh("echo $PREFIXED"), 20).output == "yes\n"


def test_a_program_that_is_not_there_or_dies(shell: Phone, device: Device) -> None:
    assert device.run(Command(argv=("./none",), folder=TMP), 20).code == 127
    missing = device.run(sh("echo never", folder="/nowhere"), 20)
    assert (missing.code not in (0, None), missing.output.count("never")) == (True, 0)
    assert device.run(sh("kill -11 $$"), 20).code == 128 + signal.SIGSEGV


def test_a_command_that_takes_too_long_is_ended_on_the_phone(shell: Phone, device: Device) -> None:
    shell.faults.orphans = True  # nothing but the kit ends it
    ended = device.run(sh(f"echo began; {nap(1)}; echo never"), 1.5)
    assert (ended.code, ended.output, ended.lost) == (None, "began\n", False)
    assert ended.problem == "it ran past its 1.5 s and was ended"
    assert ended_soon(running(1))
    assert not list((shell.root / "data/local/tmp/edge").glob("*.run"))


def test_an_interrupt_ends_the_command_too(phone: Phone, device: Device) -> None:
    phone.faults.orphans = True
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # what a shell starts in the background ignores it
    watch = when_running(running(2), lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            device.run(sh(f"{nap(2)}; echo never"), 60)
        watch.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended_soon(running(2))


def test_a_phone_that_vanishes_leaves_what_it_printed(shell: Phone, device: Device, plugged: Daemon) -> None:
    event = '{"k":"run","t":0,"ns":345}'
    watch = when_running(running(5), plugged.unplug)
    ended = device.run(sh(f"echo '{event}'; {nap(5)}; echo never"), 60)
    watch.join()
    assert (ended.code, ended.lost) == (None, True)
    assert ended.output == f"{event}\n"
    assert f"the phone vanished: device {plugged.serial} is offline; mend: adb disconnect" in ended.problem


def test_a_connection_that_breaks_for_a_moment(phone: Phone, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_adb_shell, "RETURN_S", 20.0)
    phone.faults.orphans = True
    phone.faults.cut_after = 2000
    line = "0123456789" * 30
    ended = device.run(sh(f"for i in 1 2 3 4 5 6 7 8; do echo {line}; sleep 0.1; done; {nap(3)}"), 60)
    assert (ended.code, ended.lost) == (None, False)
    assert ended.output.startswith(f"{line}\n{line}\n")
    assert "broke" in ended.problem
    assert "the phone is back, and the command was ended" in ended.problem
    assert ended_soon(running(3))
    assert device.run(sh("echo again"), 20).output == "again\n"


def test_a_phone_that_is_gone(device: Device, plugged: Daemon, bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    folder = device.put(bundle())
    plugged.unplug()
    gone = rf"device {plugged.serial} is offline; mend: "
    for call in (device.probe, lambda: device.put(bundle()), lambda: device.get(f"{folder}/runner", tmp_path / "back")):
        with pytest.raises(MissingError, match=gone):
            call()
    ended = device.run(Command(argv=("./runner",), folder=folder), 20)
    assert (ended.code, ended.output, ended.lost) == (None, "", True)
    assert device.state(3.0).thermal == "unknown"
    assert "offline" in str(device.energy())


def test_a_command_that_the_phone_never_heard(phone: Phone, device: Device) -> None:
    phone.faults.cut_on, phone.faults.stays_away = "echo never", True
    ended = device.run(sh("echo never"), 20)
    assert (ended.code, ended.output, ended.lost) == (None, "", True)


def test_closing_ends_what_was_lost_when_the_phone_is_back(
    phone: Phone, device: Device, plugged: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone.faults.orphans = True
    watch = when_running(running(4), plugged.unplug)
    assert device.run(sh(f"{nap(4)}; echo never"), 60).lost
    watch.join()
    assert runs(running(4))
    phone.faults.stays_away = False
    assert _adb_shell.Shell(device._shell.client).state(20.0) == "device"  # type: ignore[attr-defined]
    device.close()
    assert ended_soon(running(4))
