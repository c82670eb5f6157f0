"""The shell of an Android phone: ask it something, and run a program that can be ended there.

A script prints its exit code after a mark of its own: shells before Android 7 hand on no exit code, and adb ends with 0
when the phone vanishes. Without the mark, a script was not heard to its end.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import time
from dataclasses import dataclass, field

from edge.errors import EdgeError, MissingError, TargetError
from edge.profile.devices import Command, Ended
from edge.profile.devices._adb import READY, Client, Said, state_problem

WORK = "/data/local/tmp/edge"  # the shell may execute files there, and nowhere on /sdcard
ASK_S = 30.0
RETURN_S = 4.0  # in which a phone whose connection broke is back, if it was only that
_EVERY_S = 0.25


@dataclass(slots=True)
class Shell:
    """A phone's shell."""

    client: Client
    running: set[str] = field(default_factory=set)  # notes of processes that are not known to have ended

    def ask(self, script: str, timeout_s: float = ASK_S) -> tuple[int, str]:
        """Return the exit code and the output of a script; raises MissingError if it was not heard to its end."""
        mark = _mark(secrets.token_hex(6))
        said = self.client.call("shell", f"( {script}\n); c=$?; echo {mark}$c; exit $c", timeout_s=timeout_s)
        text, code = _split(said.text, mark)
        if code is None:
            raise self.lost(said)
        return code, text

    def read(self, script: str, timeout_s: float = ASK_S) -> str:
        """Return what a script prints, without its complaints; raises MissingError if the phone is gone."""
        return self.ask(f"{{ {script}\n}} 2>/dev/null", timeout_s)[1]

    def do(self, script: str, what: str) -> None:
        """Run a script that has to succeed; raises TargetError, beginning with `what`, or MissingError."""
        code, text = self.ask(f"{{ {script}; }} 2>&1")
        if code != 0:
            raise TargetError(f"{what}: {text.strip() or f'the shell ended with {code}'}")

    def state(self, patience_s: float = 0.0) -> str:
        """Return adb's word for the phone; one that is not ready is given some seconds to come back."""
        until = time.monotonic() + patience_s
        while True:
            state = "unreachable"
            with contextlib.suppress(EdgeError):
                state = self.client.state()
            if state == READY or time.monotonic() >= until:
                return state
            time.sleep(_EVERY_S)

    def failure(self, said: Said, what: str) -> EdgeError:
        """Return the error of a transfer that failed: MissingError if the phone is gone, TargetError otherwise."""
        if said.timed_out or said.connection_problem or self.state() != READY:
            return self.lost(said)
        return TargetError(f"{what}: {said.complaint}")

    def lost(self, said: Said) -> MissingError:
        """Return the error of a call that the phone did not answer."""
        serial = self.client.serial
        why = "it does not answer" if said.timed_out else said.connection_problem or "the connection broke"
        mend = "mend: plug it in again, or adb reconnect"
        return MissingError(state_problem(serial, self.state()) or f"device {serial} was lost ({why}); {mend}")

    def run(self, command: Command, prefix: tuple[str, ...], timeout_s: float) -> Ended:
        """Run a command in its folder; past the limit it is ended on the phone, not only here."""
        token = secrets.token_hex(6)
        note, mark = f"{WORK}/{token}.run", _mark(token)
        problems: list[str] = []
        self.running.add(note)
        said = self.client.call(
            "shell",
            _script(command, prefix, note, mark),
            timeout_s=timeout_s,
            on_timeout=lambda: problems.append(self.end(note)),
        )
        output, code = _split(said.text, mark)
        if said.timed_out:
            problem = f"it ran past its {timeout_s:g} s and was ended{''.join(problems)}"
            lost = any(problems) and self.state(RETURN_S) != READY
            return Ended(code=None, output=output, errors=said.errors, problem=problem, lost=lost)
        if code is None:
            return self._broken(said, output, note)
        self.running.discard(note)
        return Ended(code=code, output=output, errors=said.errors)

    def end(self, note: str) -> str:
        """End the process that a note names, and its group; return what is wrong if that failed, empty if not."""
        script = f"""
runs() {{ [ -d /proc/$p ] && ! grep -q "^State:.*Z" /proc/$p/status; }}
i=0; while [ ! -s {note} ] && [ $i -lt 10 ]; do i=$((i+1)); sleep 0.1; done
read g p < {note} || exit 0
kill -9 -$g; kill -9 $p; rm -f {note}
i=0; while runs && [ $i -lt 20 ]; do i=$((i+1)); sleep 0.1; done
runs && echo "left $p"
"""  # one that init has not waited for yet (Z) has ended
        try:
            left = re.search(r"left (\d+)", self.read(script))
        except EdgeError as error:
            return f", but what became of it on the phone is unknown: {error}"
        if left:
            return f", but process {left[1]} still runs on the phone; mend: adb -s {self.client.serial} reboot"
        self.running.discard(note)
        return ""

    def _broken(self, said: Said, output: str, note: str) -> Ended:
        """Tell a shell that was killed from a connection that broke, and that from a phone that is gone."""
        serial, state = self.client.serial, self.state(RETURN_S)
        if state != READY:
            problem = f"the phone vanished: {state_problem(serial, state)}"
            return Ended(code=None, output=output, errors=said.errors, problem=problem, lost=True)
        left = self.end(note)
        if said.code > 128 and not said.connection_problem:
            return Ended(code=said.code, output=output, errors=said.errors)  # shell_v2: 128 and the signal
        why = said.connection_problem or "adb was cut off"
        problem = f"the connection to {serial} broke ({why}); the phone is back, and the command was ended{left}"
        return Ended(code=None, output=output, errors=said.errors, problem=problem)


def _script(command: Command, prefix: tuple[str, ...], note: str, mark: str) -> str:
    """Return a shell script that runs a command, notes its process and prints its exit code after the mark.

    The note holds the shell, which leads the process group of everything it starts, and the process.
    """
    exports = "".join(f"export {name}={shlex.quote(value)}; " for name, value in command.environment.items())
    words = shlex.join((*prefix, *command.argv))
    return (
        f"mkdir -p {WORK}; cd {shlex.quote(command.folder)} && {{ ( {exports}exec {words} ) & "
        f"echo $$ $! > {note}; wait $!; }}; c=$?; rm -f {note}; echo {mark}$c; exit $c"
    )


def _mark(token: str) -> str:
    return f"edge-{token}-ended:"


def _split(text: str, mark: str) -> tuple[str, int | None]:
    """Return what was printed without the mark, and the exit code after it; None if it is not there."""
    found = re.search(re.escape(mark) + r"(\d+)\n", text)
    if found is None:
        return text, None
    return text[: found.start()] + text[found.end() :], int(found[1])
