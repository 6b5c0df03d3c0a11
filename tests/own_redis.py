"""A Redis of a test's own on a Unix socket, which can be stopped in the middle of anything, ended and started again."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import redis

from portal.core.secrets import Secret

_ATTEMPTS = 1200  # a minute: machines may be busy, and what ended is seen at once


class OwnRedis:
    """One server with its socket in `folder`, which a Unix socket wants short. It keeps nothing when it ends."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self.socket = program, folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def secret(self) -> Secret:
        return Secret(self.url.encode())

    def start(self) -> None:
        where = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.socket.parent)]
        self._process = subprocess.Popen(
            [self._program, *where, "--save", "", "--appendonly", "no"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(redis.ConnectionError):
                self.ask("PING")
                return
            assert self._process.poll() is None
            time.sleep(0.05)
        raise AssertionError("redis-server did not start")

    def end(self) -> None:
        """At once. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """It keeps its connections, and answers nobody. Comes back when it really stands still."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: str) -> Any:
        """What it answers to one command."""
        with redis.Redis(unix_socket_path=str(self.socket), decode_responses=True) as client:
            return client.execute_command(*command)


def program() -> str | None:
    return shutil.which("redis-server")
