"""`python -m portal` without the start of an interpreter: a process that has imported the portal forks one.

Comes in: arguments, a folder, an environment and three streams. Leaves: a `Process`, which has the part of
`subprocess.Popen` that suites use. Next: `prepared_process` forks; each process of pytest has one, because an import of
the portal costs more than most tests do. Variables that Python reads at its start alone get one of their own.

A `program` that works on the portal's services can have its place. A test of the start itself uses a fresh interpreter
(`Served.fresh`).
"""

import atexit
import contextlib
import functools
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import IO, Any

ROOT = Path(__file__).parents[1]
NUMBER = struct.Struct("i")  # a process id, then an exit code
_READ_AT_START = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "TZ")
_PATIENCE_SECONDS = 120
_Stream = IO[Any] | socket.socket


class Process:
    """A portal that was forked. `returncode` is None while it runs; it is negative if a signal ended the portal."""

    def __init__(self, arguments: Sequence[str], status: int) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self._status, self._lock = status, threading.Lock()
        self.pid = self._number()

    def poll(self) -> int | None:
        return self._code_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        code = self._code_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; one that comes too late is no error."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(SIGTERM)

    def kill(self) -> None:
        self.send_signal(SIGKILL)

    def _code_within(self, seconds: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and _is_readable(self._status, seconds):
                self.returncode = self._number()
                os.close(self._status)
        return self.returncode

    def _number(self) -> int:
        told = os.read(self._status, NUMBER.size)
        if not told:
            raise ChildProcessError("the prepared process has ended")
        (number,) = NUMBER.unpack(told)
        return int(number)


class Prepared:
    """The prepared process. It ends with this process or by `end`, and the portals that it forked end with it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        # Never a terminal, which an import may see. `end` closes it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.prepared_process", str(theirs.fileno())],
                cwd=ROOT,
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # what a terminal sends to the run is not for portals
            )
        self.pid = self._process.pid

    def start(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        streams: Sequence[_Stream],
        program: Path | None = None,
    ) -> Process:
        """Start `python -m portal`, or a `program`, with these arguments and standard streams.

        Raises ChildProcessError.
        """
        told = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
        request = json.dumps(told | {"program": None if program is None else str(program)}).encode()
        ours, theirs = os.pipe()
        try:
            socket.send_fds(self._requests, [request], [theirs, *(stream.fileno() for stream in streams)])
            os.close(theirs)
            return Process(arguments, ours)
        except OSError as error:
            raise ChildProcessError(_text(self._errors)) from error

    def run(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end, and capture what it prints."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin.encode())
            given.seek(0)
            process = self.start(arguments, cwd=cwd, env=env, streams=(given, out, err))
            try:
                code = process.wait(_PATIENCE_SECONDS)
            finally:
                process.kill()
            return subprocess.CompletedProcess(arguments, code, _text(out), _text(err))

    def end(self) -> None:
        self._requests.close()
        self._process.wait()
        self._errors.close()


def prepared(environment: Mapping[str, str]) -> Prepared:
    """The prepared process for portals in this environment. It is started at its first use, and ends with ours."""
    return _prepared(frozenset(item for item in environment.items() if item[0].startswith(_READ_AT_START)))


@functools.cache
def _prepared(read_at_start: frozenset[tuple[str, str]]) -> Prepared:
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("PORTAL_", *_READ_AT_START))}
    made = Prepared(inherited | dict(read_at_start))
    atexit.register(made.end)
    return made


def _is_readable(descriptor: int, seconds: float | None) -> bool:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(None if seconds is None else seconds * 1000))


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()
